from collections.abc import Callable

import pytest

from retouch.domain.errors import OutOfMemory
from retouch.engine.calibration import calibrate, knee
from retouch.engine.families.toy import ToyFamily
from retouch.testing import FakeClock


class Device(ToyFamily):
    """A device whose passes take `seconds(pictures)`, or `large_s` with the large one; out of
    memory beyond `most`. By default the large one takes as much longer as it is more work."""

    def __init__(
        self, seconds: Callable[[int], float], most: int = 1000, large_s: float | None = None
    ) -> None:
        self.clock, self.seconds, self.most = FakeClock(), seconds, most
        self.large_s = large_s
        self.passes: list[int] = []
        self.larges = 0
        super().__init__()

    def step(self, sessions):
        if len(sessions) > self.most:
            raise OutOfMemory("no room")
        if sessions[0].plan.tokens == LARGE_TOKENS:
            self.larges += 1
            in_proportion_s = self.seconds(1) * LARGE_TOKENS / TOKENS
            self.clock.advance(in_proportion_s if self.large_s is None else self.large_s)
        else:
            self.passes.append(len(sessions))
            self.clock.advance(self.seconds(len(sessions)))
        super().step(sessions)


TOKENS, LARGE_TOKENS = 16 + 64, 16 + 1024  # the toy's, of the pictures that are measured with


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


def test_what_a_step_costs_beside_its_picture_is_what_a_large_one_takes_less_for_its_work():
    device = Device(lambda count: 0.03 + 0.01 * count, large_s=0.03 + 0.01 * LARGE_TOKENS / TOKENS)

    pace = measured(device, limit_s=60).pace

    assert pace.overhead == pytest.approx(3 * TOKENS, rel=1e-4)


@pytest.mark.parametrize("large_s", [0.01, 0.04, 5.0], ids=["shorter", "as long", "disturbed"])
def test_a_large_picture_that_tells_nothing_leaves_what_groups_save(large_s: float):
    def seconds(count: int) -> float:
        return 0.03 + 0.01 * count

    device = Device(seconds, large_s=large_s)

    assert measured(device, limit_s=60).pace == measured(Device(seconds), limit_s=60).pace
    assert device.larges


def test_a_large_picture_is_left_out_where_it_would_take_too_long():
    device = Device(lambda count: 0.2 * count)

    measured(device, limit_s=3.0)

    assert device.passes
    assert not device.larges


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
