"""The cosine codec: what it keeps, and that it speaks the dialect of an autoencoder."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from retouch.engine.families.codec import DctCodec, zigzag  # noqa: E402  needs torch


def test_all_coefficients_give_the_picture_back() -> None:
    codec = DctCodec(64, 64, 64, latent_channels=192, scales=[0.5] * 192)
    picture = torch.rand(2, 3, 16, 24) * 2 - 1

    latent = codec.encode(picture).latent_dist.mode()
    restored = codec.decode(latent, return_dict=False)[0]

    assert latent.shape == (2, 192, 2, 3)
    torch.testing.assert_close(restored, picture, atol=1e-4, rtol=0)


def test_few_coefficients_keep_what_is_smooth_and_forget_the_rest() -> None:
    codec = DctCodec()
    once = codec(torch.rand(1, 3, 32, 32) * 2 - 1)

    twice = codec(once)

    torch.testing.assert_close(twice, once, atol=1e-4, rtol=0)


def test_a_scale_divides_its_channel() -> None:
    picture = torch.rand(1, 3, 8, 8)
    plain = DctCodec(1, 1, 1, latent_channels=3)
    scaled = DctCodec(1, 1, 1, latent_channels=3, scales=[2.0, 1.0, 4.0])

    quotient = plain.encode(picture).latent_dist.mode() / scaled.encode(picture).latent_dist.mode()

    torch.testing.assert_close(quotient.flatten(), torch.tensor([2.0, 1.0, 4.0]))


def test_saved_and_loaded_it_encodes_alike(tmp_path: Path) -> None:
    codec = DctCodec(scales=[float(k + 1) for k in range(24)])
    picture = torch.rand(1, 3, 16, 16)

    codec.save_pretrained(tmp_path)
    loaded = DctCodec.from_pretrained(tmp_path)

    assert loaded.config.scaling_factor == 1.0
    assert loaded.config.shift_factor == 0.0
    assert 2 ** (len(loaded.config.block_out_channels) - 1) == 8
    expected = codec.encode(picture).latent_dist.mode()
    torch.testing.assert_close(loaded.encode(picture).latent_dist.mode(), expected)


def test_zigzag_is_the_scan_of_jpeg() -> None:
    assert zigzag(7) == [(0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (0, 2), (0, 3)]


def test_channels_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="latent_channels is 10"):
        DctCodec(latent_channels=10)


def test_convolutions_behind_the_decoder_begin_as_nothing() -> None:
    plain, learning = DctCodec(), DctCodec(detail_width=8, detail_blocks=1)
    picture = torch.rand(1, 3, 16, 32) * 2 - 1

    torch.testing.assert_close(learning(picture), plain(picture), atol=1e-6, rtol=0)


def test_convolutions_change_what_is_decoded_and_nothing_that_is_encoded(tmp_path: Path) -> None:
    plain, learned = DctCodec(), DctCodec(detail_width=8, detail_blocks=1)
    torch.nn.init.constant_(learned.detail.spread.bias, 0.25)
    learned.save_pretrained(tmp_path)
    loaded = DctCodec.from_pretrained(tmp_path)
    picture = torch.rand(1, 3, 16, 32) * 2 - 1

    latent = loaded.encode(picture).latent_dist.mode()

    torch.testing.assert_close(latent, plain.encode(picture).latent_dist.mode())
    torch.testing.assert_close(loaded.decode(latent).sample, plain.decode(latent).sample + 0.25)
