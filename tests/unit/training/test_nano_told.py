"""Judging the transformer alone: phrasings stand for the targets of their edits."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from training.nano.edits import BY_NAME  # noqa: E402 (needs torch)
from training.nano.evaluate import Told, phrasings_of  # noqa: E402 (needs torch)
from training.nano.words import T5_LENGTH, Targets  # noqa: E402 (needs torch)


def test_every_held_out_phrasing_is_told_as_the_target_of_its_edit() -> None:
    asked = [BY_NAME["sepia"], BY_NAME["sepia + mirror"]]
    rows = torch.arange(6.0).view(3, 2)
    edits = {text: edit.name for edit in asked for text in phrasings_of(edit)}
    told = Told(Targets(("mirror", "sepia", "sepia + mirror"), rows, -rows), edits)

    pooled, states = told.embed([phrasings_of(edit)[-1] for edit in asked])

    assert torch.equal(pooled, rows[1:])
    assert states.shape == (2, T5_LENGTH, 2)
    assert torch.equal(states, -rows[1:, None].expand(-1, T5_LENGTH, -1))
