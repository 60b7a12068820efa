import itertools

import pytest
import torch

from retouch.engine.families.positions import FOLD, grid_ids, mosaic, position_ids


def test_text_stands_at_the_origin_and_the_first_reference_on_the_next_plane():
    ids = position_ids(2, (1, 2), [(2, 1)], layout="offset", origin="corner")

    assert ids.tolist() == [
        [0, 0, 0],
        [0, 0, 0],
        [0, 0, 0],
        [0, 0, 1],
        [1, 0, 0],
        [1, 1, 0],
    ]
    assert ids.dtype == torch.float32


def test_a_mosaic_goes_right_of_wide_or_below_as_comfyui_lays_it_out():
    # 4x4 first, a second 4x4 is as tall as wide (8 > 8 is false), so it goes below; then right.
    assert mosaic([(4, 4), (4, 4), (4, 4)]) == [(0, 0), (4, 0), (0, 4)]
    assert mosaic([(2, 8), (2, 8)]) == [(0, 0), (2, 0)]
    assert mosaic([(8, 2), (8, 2)]) == [(0, 0), (0, 2)]


@pytest.mark.parametrize("grids", list(itertools.product([(2, 3), (5, 1), (4, 4)], repeat=3)))
def test_a_mosaic_never_overlaps(grids):
    taken = [
        (row, column)
        for (top, left), (rows, columns) in zip(mosaic(grids), grids, strict=True)
        for row in range(top, top + rows)
        for column in range(left, left + columns)
    ]

    assert len(taken) == len(set(taken))


def test_index_gives_each_reference_a_plane_of_its_own():
    ids = position_ids(0, (1, 1), [(1, 2), (1, 1)], layout="index", origin="corner")

    assert ids.tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 1], [2, 0, 0]]


def test_folded_positions_count_outwards_and_mark_the_half_above_and_to_the_left():
    ids = position_ids(0, (2, 3), [(1, 2)], layout="index", origin="folded")

    expected = [
        [0.5 + FOLD, 1 + FOLD], [0.5 + FOLD, FOLD / 2], [0.5 + FOLD, 1],
        [0.5, 1 + FOLD], [0.5, FOLD / 2], [0.5, 1],
        [FOLD / 2, 0.5 + FOLD], [FOLD / 2, 0.5],
    ]  # fmt: skip
    assert ids[:, 1:].tolist() == torch.tensor(expected).tolist()


def test_a_place_and_its_mirror_image_differ_in_the_slowest_rotation_only():
    frequencies = 10_000 ** (-torch.arange(0, 12, 2, dtype=torch.float64) / 12)
    turn = torch.tensor([FOLD, FOLD / 2], dtype=torch.float64)[:, None] * frequencies

    assert torch.all(torch.cos(turn[:, :2]) > 0.999)
    assert torch.cos(turn[0, -1]) < -0.99
    assert abs(torch.cos(turn[1, -1])) < 0.1


def test_ids_beyond_256_stay_exact():
    ids = grid_ids((1, 3), t=1.0, offset=(0, 256), origin="corner")

    assert ids[:, 2].tolist() == [256, 257, 258]


def test_stitch_is_no_layout_of_tokens():
    with pytest.raises(ValueError, match="stitched"):
        position_ids(0, (1, 1), [], layout="stitch", origin="corner")
