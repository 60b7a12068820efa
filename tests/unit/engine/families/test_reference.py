import pytest

from retouch.domain.edit import Size
from retouch.domain.geometry import MEGAPIXEL
from retouch.engine.families.reference import BUDGET_IN_AREAS, reference_sizes

SQUARE = Size(640, 640)


def test_one_reference_has_its_own_training_size():
    sizes = reference_sizes([Size(3000, 2000)], SQUARE, "own", MEGAPIXEL)

    assert sizes == (Size(1248, 832),)


def test_two_references_keep_their_training_sizes():
    sizes = reference_sizes([Size(3000, 2000), Size(10, 10)], SQUARE, "own", MEGAPIXEL)

    assert sizes == (Size(1248, 832), Size(1024, 1024))


@pytest.mark.parametrize("count", [3, 4, 8])
def test_more_references_share_the_budget_and_keep_their_shapes(count):
    sizes = reference_sizes([Size(1600, 900)] * count, SQUARE, "own", MEGAPIXEL)

    assert sum(size.width * size.height for size in sizes) <= BUDGET_IN_AREAS * MEGAPIXEL
    for size in sizes:
        assert size.width % 16 == size.height % 16 == 0
        assert size.width / size.height == pytest.approx(1392 / 752, rel=0.05)


def test_references_fitted_to_the_target_have_its_size():
    sizes = reference_sizes([Size(3000, 2000), Size(10, 10)], Size(96, 64), "target", 64 * 64)

    assert sizes == (Size(96, 64), Size(96, 64))
