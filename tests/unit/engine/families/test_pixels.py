import random

import pytest
import torch
from PIL import Image, ImageOps

from retouch.domain.edit import Size
from retouch.domain.errors import EngineFailed
from retouch.domain.picture import Picture
from retouch.engine.families import pixels

PHOTO = Picture(40, 24, random.Random(0).randbytes(40 * 24 * 3))  # noqa: S311  no secret


def test_pixels_survive_the_trip_to_a_tensor_and_back():
    assert pixels.to_picture(pixels.to_tensor(PHOTO)) == PHOTO


def test_packing_is_undone_by_unpacking_and_puts_channels_first():
    latent = torch.arange(2 * 4 * 6).reshape(1, 2, 4, 6)

    tokens = pixels.pack(latent)

    assert tokens.shape == (6, 8)
    assert tokens[0].tolist() == [0, 1, 6, 7, 24, 25, 30, 31]
    assert torch.equal(pixels.unpack(tokens, 2, 3), latent)


def test_stretching_ignores_the_shape():
    stretched = pixels.stretch(PHOTO, Size(16, 16))

    image = Image.frombytes("RGB", (40, 24), PHOTO.data)
    assert stretched.data == image.resize((16, 16), Image.Resampling.LANCZOS).tobytes()


@pytest.mark.parametrize("size", [Size(16, 16), Size(48, 16), Size(80, 48)])
def test_covering_keeps_the_shape_and_cuts_around_the_centre(size):
    covered = pixels.cover(PHOTO, size)

    image = Image.frombytes("RGB", (40, 24), PHOTO.data)
    fitted = ImageOps.fit(image, (size.width, size.height), Image.Resampling.LANCZOS)
    assert covered.data == fitted.tobytes()


def test_numbers_out_of_range_are_no_picture():
    broken = torch.full((1, 3, 8, 8), torch.nan)

    with pytest.raises(EngineFailed, match="out of range"):
        pixels.to_picture(broken)


def test_stitching_lays_pictures_side_by_side_at_one_height():
    red = Picture(20, 20, bytes([255, 0, 0]) * 400)
    blue = Picture(20, 40, bytes([0, 0, 255]) * 800)

    stitched = pixels.stitch([red, blue], Size(48, 32))

    row = [stitched.data[3 * x : 3 * x + 3] for x in range(48)]
    assert row == [bytes([255, 0, 0])] * 32 + [bytes([0, 0, 255])] * 16
