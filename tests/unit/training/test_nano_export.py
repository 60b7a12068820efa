"""Laying a run out as weights: what it did not make stays, and the card keeps its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from training.nano.edits import EDITS
from training.nano.export import export, last_line


def test_what_a_run_did_not_make_stays(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    for folder, name, text in (
        (run, "tokenizer", "new"),
        (out, "tokenizer", "old"),
        (out, "transformer", "old"),
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / "mark").write_text(text)

    export(run, out, EDITS[:1], steps=2)

    assert (out / "tokenizer" / "mark").read_text() == "new"
    assert (out / "transformer" / "mark").read_text() == "old"
    assert json.loads((out / "retouch.json").read_text())["steps"] == 2


def test_a_run_that_made_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none of transformer, vae"):
        export(tmp_path / "run", tmp_path / "out", EDITS[:1], steps=2)


def test_a_run_without_a_log_keeps_what_the_card_says_of_the_last_one(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("## How it was made\n\n- Run: 45 steps, 834 samples, 7.9 minutes on a core\n")

    assert last_line(tmp_path, page) == {"step": "45", "samples": "834", "minutes": "7.9"}


def test_the_log_of_a_run_goes_before_the_card(tmp_path: Path) -> None:
    line = {"step": 50, "samples": 900, "minutes": 8.5, "loss": 0.1}
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 25}) + "\n" + json.dumps(line) + "\n")

    found = last_line(tmp_path, tmp_path / "README.md")

    assert found == {"step": "50", "samples": "900", "minutes": "8.5"}


def test_a_run_that_nothing_tells_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"log\.jsonl does not exist"):
        last_line(tmp_path, tmp_path / "README.md")
