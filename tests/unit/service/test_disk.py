"""The reserve on the disk."""

import pytest

from retouch.domain.errors import Busy
from retouch.service.disk import FRESH_S, DiskReserve
from retouch.testing import FakeClock


def test_a_disk_that_fills_up_is_noticed_soon_and_measured_seldom() -> None:
    clock, measured = FakeClock(), [10, 9, 10]
    reserve = DiskReserve(lambda: measured.pop(0), 10, monotonic=clock.monotonic)

    for _ in range(5):
        reserve.require_room()
    clock.advance(2 * FRESH_S)
    for _ in range(5):
        with pytest.raises(Busy, match="disk is nearly full"):
            reserve.require_room()
    clock.advance(2 * FRESH_S)
    reserve.require_room()

    assert measured == []
