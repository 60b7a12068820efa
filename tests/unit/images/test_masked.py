"""A result laid over the picture it was made from: what is touched, and how softly."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from retouch.domain.edit import AspectRatio, Edit, MaskImage, Size, UrlImage
from retouch.domain.errors import BadInput
from retouch.domain.picture import Mask, Picture
from retouch.images.masked import Masked

STRICT = Edit(prompt="", mask=MaskImage(UrlImage("m"), "white"))
LENIENT = Edit(prompt="", mask=MaskImage(UrlImage("m"), "white", may_stretch=True))


def noise(width: int, height: int, seed: int = 0) -> Picture:
    return Picture(width, height, random.Random(seed).randbytes(width * height * 3))  # noqa: S311


def plain(width: int, height: int, value: int) -> Picture:
    return Picture(width, height, bytes([value]) * (width * height * 3))


def boxed(width: int, height: int, box: tuple[int, int, int, int]) -> Mask:
    image = Image.new("L", (width, height))
    image.paste(255, box)
    return Mask(width, height, image.tobytes())


def reds(picture: Picture) -> list[list[int]]:
    row = picture.width * 3
    return [list(picture.data[y * row : (y + 1) * row : 3]) for y in range(picture.height)]


@settings(max_examples=25)
@given(data=st.data())
def test_no_pixel_outside_the_mask_is_touched(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 200))
    marked = data.draw(st.binary(min_size=width * height, max_size=width * height))
    mask = Mask(width, height, bytes(it if it > 200 else 0 for it in marked))
    picture, result = noise(width, height), noise(width, height, 1)

    restored = Masked(picture, mask).restored(result)

    for place, value in enumerate(mask.data):
        if not value:
            at = slice(3 * place, 3 * place + 3)
            assert restored.data[at] == picture.data[at]


def test_outside_is_the_picture_scaled_to_the_answer() -> None:
    picture, mask = noise(60, 40), boxed(60, 40, (0, 0, 30, 40))
    image = Image.frombytes("RGB", (60, 40), picture.data)
    scaled = image.resize((90, 64), Image.Resampling.LANCZOS).crop((45, 0, 90, 64))

    restored = Masked(picture, mask).restored(noise(90, 64, 1))

    kept = Image.frombytes("RGB", (90, 64), restored.data).crop((45, 0, 90, 64))
    assert kept.tobytes() == scaled.tobytes()


def test_the_result_fades_in_from_the_border_of_the_mask() -> None:
    masked = Masked(plain(400, 300, 0), boxed(400, 300, (100, 100, 300, 200)))

    row = reds(masked.restored(plain(400, 300, 200)))[150]

    assert row[99] == 0
    assert 0 < row[100] < row[101] < row[102] < row[103] == 200
    assert row[200] == 200
    assert row[99:200] == row[300:199:-1]


def test_a_thin_line_of_a_mask_is_not_lost() -> None:
    masked = Masked(plain(400, 300, 0), boxed(400, 300, (200, 0, 201, 300)))

    assert reds(masked.restored(plain(400, 300, 200)))[150][200] >= 40


def test_at_the_rim_of_the_picture_nothing_fades() -> None:
    masked = Masked(plain(96, 96, 0), boxed(96, 96, (0, 0, 96, 48)))

    assert set(reds(masked.restored(plain(96, 96, 200)))[0]) == {200}


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(BadInput, match="mask is 8x4 pixels, but the first image is 8x8: they must"):
        Masked.of(noise(8, 8), boxed(8, 4, (0, 0, 8, 4)), STRICT)


def test_a_mask_that_may_be_stretched_is() -> None:
    masked = Masked.of(noise(8, 8), boxed(4, 2, (0, 0, 2, 2)), LENIENT)

    assert masked.mask == boxed(8, 8, (0, 0, 4, 8))


@pytest.mark.parametrize("edit", [{"size": Size(64, 32)}, {"aspect_ratio": AspectRatio(2, 1)}])
def test_picture_and_mask_are_cut_to_the_shape_that_is_asked_for(edit: dict[str, object]) -> None:
    asked = Edit(prompt="", mask=STRICT.mask, **edit)  # type: ignore[arg-type]
    picture = noise(80, 80)

    masked = Masked.of(picture, boxed(80, 80, (0, 30, 80, 80)), asked)

    assert masked.picture.data == picture.data[80 * 20 * 3 : 80 * 60 * 3]
    assert masked.mask == boxed(80, 40, (0, 10, 80, 40))


def test_a_mask_of_nothing_within_the_shape_is_refused() -> None:
    asked = Edit(prompt="", mask=STRICT.mask, aspect_ratio=AspectRatio(2, 1))

    with pytest.raises(BadInput, match="mask marks nothing within the 80x40 pixels around"):
        Masked.of(noise(80, 80), boxed(80, 80, (0, 0, 80, 9)), asked)
