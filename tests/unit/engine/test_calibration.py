from collections.abc import Callable

import pytest

from retouch.domain.errors import OutOfMemory
from retouch.engine.calibration import calibrate, knee
from retouch.engine.families.toy import ToyFamily
from retouch.testing import FakeClock


class Device(ToyFamily):
    """A device whose passes take `seconds(pictures)`; out of memory beyond `most`."""

    def __init__(self, seconds: Callable[[int], float], most: int = 1000) -> None:
        self.clock, self.seconds, self.most = FakeClock(), seconds, most
        self.passes: list[int] = []
        super().__init__()

    def step(self, sessions):
        if len(sessions) > self.most:
            raise OutOfMemory("no room")
        self.passes.append(len(sessions))
        self.clock.advance(self.seconds(len(sessions)))
        super().step(sessions)


TOKENS = 16 + 64  # the toy's, of the picture that is measured with


def measured(device: Device, **limits):
    return calibrate(device, device.clock, **limits)


def test_where_packing_pays_nothing_one_picture_is_the_budget():
    device = Device(lambda count: 0.01 * count)

    assert measured(device).token_budget == TOKENS
    assert device.passes == [1, 1, 2, 4, *4 * [1, 2, 4]]


def test_where_it_pays_the_budget_is_where_it_stops_to():
    device = Device(lambda count: 0.01 * max(1, count / 8))

    assert measured(device).token_budget == 8 * TOKENS


def test_the_budget_stays_below_the_most_that_was_asked_for():
    device = Device(lambda count: 0.01)

    assert measured(device, most_tokens=5 * TOKENS).token_budget == 4 * TOKENS


def test_the_pace_is_seconds_per_unit_of_work():
    pace = measured(Device(lambda count: 0.02 * count)).pace

    assert pace.seconds == pytest.approx(0.02 / TOKENS)


def test_what_a_step_costs_beside_its_picture_is_what_a_group_saves():
    device = Device(lambda count: 0.03 + 0.01 * count)

    pace = measured(device, limit_s=60).pace

    best_s = min(0.01 + 0.03 / count for count in device.passes)
    assert pace.overhead == pytest.approx(TOKENS * (0.04 / best_s - 1), rel=1e-4)


def test_a_device_that_gains_nothing_by_groups_has_no_overhead():
    assert measured(Device(lambda count: 0.02 * count)).pace.overhead == pytest.approx(0)


@pytest.mark.parametrize("disturbed", range(1, 20))
def test_a_pass_that_a_neighbour_slows_down_changes_nothing(disturbed: int):
    def seconds(count: int) -> float:
        calm_s = 0.01 * max(1, count / 8)
        return 20 * calm_s if len(device.passes) == disturbed else calm_s

    device = Device(seconds)

    assert measured(device, limit_s=60).token_budget == 8 * TOKENS
    assert len(device.passes) >= 19


def test_a_group_that_is_always_slower_than_a_larger_one_was_disturbed():
    device = Device(lambda count: 1.0 if count == 1 else 0.01 * count)

    assert measured(device, limit_s=60).token_budget == TOKENS * 2


def test_a_slow_device_is_measured_once_and_its_budget_left_open():
    device = Device(lambda count: 30.0)

    result = measured(device, limit_s=1.0)

    assert device.passes == [1, 1]
    assert result.token_budget is None
    assert result.pace.seconds == pytest.approx(30 / TOKENS)


def test_running_out_of_memory_ends_it_with_what_did_fit():
    assert measured(Device(lambda count: 0.01, most=4)).token_budget == 4 * TOKENS


def test_the_knee_is_the_fewest_tokens_near_the_best_rate():
    assert knee({10: 1.0, 20: 1.0}) == 10
