"""The convolutions behind nano's decoder: trained on pixels, they leave the latents alone."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from retouch.engine.families.codec import DctCodec  # noqa: E402  needs torch
from training.nano import detail  # noqa: E402  needs torch
from training.nano.evaluate import photographs  # noqa: E402  needs torch

ROOT = Path(__file__).parents[3]


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)


def test_they_begin_as_the_linear_codec() -> None:
    codec = detail.with_detail(DctCodec(), width=4, blocks=1)

    full, linear = detail.lost(codec, torch.rand(2, 3, 64, 64), torch.Generator())

    torch.testing.assert_close(full, linear)


def test_training_keeps_the_latents_and_changes_the_pixels(pictures: torch.Tensor) -> None:
    plain = DctCodec(scales=[0.5] * 24)

    learned = detail.train(plain, pictures, detail.Options(minutes=0.01, width=4, blocks=1))

    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    latent = learned.encode(picture).latent_dist.mode()
    torch.testing.assert_close(latent, plain.encode(picture).latent_dist.mode())
    assert not torch.equal(learned.decode(latent).sample, plain.decode(latent).sample)


@torch.no_grad()
def test_those_that_ship_bring_a_photograph_nearer() -> None:
    codec = DctCodec.from_pretrained(ROOT / "src/retouch/weights/nano/vae")

    for photo in photographs(ROOT / "examples/photos", 256, 256):
        full, linear = detail.lost(codec, photo, torch.Generator().manual_seed(0))
        assert full < 0.93 * linear
