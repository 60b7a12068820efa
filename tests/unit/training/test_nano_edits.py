"""Every edit of the vocabulary: shapes, range, and that no two are mistaken for each other."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from training.nano.edits import BY_NAME, COMPOSITIONS, EDITS, Edit  # noqa: E402  needs torch
from training.nano.pictures import crops, pool  # noqa: E402  needs torch


def pictures(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.rand(2, 3, 32, 48, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_exact_result_is_a_picture_of_the_same_shape(edit: Edit) -> None:
    result = edit.exact(pictures(edit.images))

    assert result.shape == (2, 3, 32, 48)
    assert 0 <= float(result.min()) <= float(result.max()) <= 1


def test_no_two_edits_give_the_same_picture() -> None:
    results = [edit.exact(pictures(2)) for edit in EDITS]

    for place, one in enumerate(results):
        for other in results[place + 1 :]:
            assert float((one - other).square().mean()) > 1e-4


def test_mirroring_twice_changes_nothing() -> None:
    [picture] = pictures(1)

    for name in ("mirror", "upside down", "half turn"):
        again = BY_NAME[name].exact([BY_NAME[name].exact([picture])])
        assert torch.equal(again, picture)


def test_the_order_of_two_images_matters() -> None:
    first, second = pictures(2)

    split = BY_NAME["first left, second right"].exact([first, second])

    assert torch.equal(split[..., :24], first[..., :24])
    assert torch.equal(split[..., 24:], second[..., 24:])
    assert torch.equal(BY_NAME["second left, first right"].exact([second, first]), split)


@pytest.mark.parametrize(
    "edit", [it for it in COMPOSITIONS if "blur" not in it.parts], ids=lambda edit: edit.name
)
def test_a_look_and_an_arrangement_give_one_picture_in_either_order(edit: Edit) -> None:
    look, arrangement = (BY_NAME[name] for name in edit.parts)
    given = pictures(edit.images)

    either = arrangement.raw([look.raw([picture]) for picture in given])

    torch.testing.assert_close(edit.raw(given), either)


def test_crops_are_pictures_and_repeat_with_their_seed() -> None:
    drawn = pool(2, seed=5, workers=1, side=64)

    made = [crops(drawn, 3, 32, 16, torch.Generator().manual_seed(1)) for _ in range(2)]

    assert made[0].shape == (3, 3, 32, 16)
    assert 0 <= float(made[0].min()) <= float(made[0].max()) <= 1
    assert torch.equal(*made)
