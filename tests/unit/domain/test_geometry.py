import pytest

from retouch.domain.edit import AspectRatio, Edit, Size
from retouch.domain.geometry import (
    MULTIPLE,
    PREFERRED_SIZES,
    preferred_size,
    ratio_size,
    target_size,
)


def test_the_table_is_flux_s_17_sizes_near_one_megapixel() -> None:
    assert len(PREFERRED_SIZES) == 17
    assert all(
        size.width % MULTIPLE == size.height % MULTIPLE == 0
        and abs(size.width * size.height / 1024**2 - 1) < 0.02
        for size in PREFERRED_SIZES
    )


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Size(1000, 1000), Size(1024, 1024)),
        (Size(4000, 3000), Size(1184, 880)),
        (Size(1, 100), Size(672, 1568)),
        (Size(10_000, 10), Size(1568, 672)),
    ],
)
def test_a_picture_gets_the_training_size_nearest_its_shape(picture: Size, expected: Size) -> None:
    assert preferred_size(picture) == expected


def test_a_smaller_area_keeps_the_shape_in_multiples_of_sixteen() -> None:
    assert preferred_size(Size(4000, 3000), 256 * 256) == Size(288, 224)


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [("1:1", Size(1024, 1024)), ("16:9", Size(1360, 768)), ("9:16", Size(768, 1360))],
)
def test_a_ratio_becomes_a_megapixel_floored_to_sixteen(ratio: str, expected: Size) -> None:
    assert ratio_size(AspectRatio.parse(ratio)) == expected


@pytest.mark.parametrize("text", ["16x9", "0:1", "1:-1", "a:b", ""])
def test_a_bad_ratio_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        AspectRatio.parse(text)


def test_size_beats_ratio_beats_first_picture_beats_square() -> None:
    first = Size(400, 300)
    ratio = AspectRatio(1, 1)

    assert target_size(Edit(prompt="", size=Size(100, 70), aspect_ratio=ratio), first) == Size(
        96, 64
    )
    assert target_size(Edit(prompt="", aspect_ratio=ratio), first) == Size(1024, 1024)
    assert target_size(Edit(prompt=""), first) == Size(1184, 880)
    assert target_size(Edit(prompt=""), None) == Size(1024, 1024)
