import itertools

import pytest
import torch

from retouch.engine.families.positions import grid_ids, mosaic, position_ids


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


def test_the_centre_as_origin_centres_every_grid():
    ids = position_ids(0, (2, 3), [(1, 2)], layout="index", origin="center")

    assert ids[:, 1:].tolist() == [
        [-0.5, -1], [-0.5, 0], [-0.5, 1], [0.5, -1], [0.5, 0], [0.5, 1], [0, -0.5], [0, 0.5],
    ]  # fmt: skip


def test_ids_beyond_256_stay_exact():
    ids = grid_ids((1, 3), t=1.0, offset=(0, 256), origin="corner")

    assert ids[:, 2].tolist() == [256, 257, 258]


def test_stitch_is_no_layout_of_tokens():
    with pytest.raises(ValueError, match="stitched"):
        position_ids(0, (1, 1), [], layout="stitch", origin="corner")
