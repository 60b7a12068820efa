import numpy as np
import pytest
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)

from retouch.engine.families.schedule import Shift, mu, parse_shift, sigmas
from retouch.engine.families.tiny import SCHEDULER


def test_a_megapixel_leans_by_kontexts_number():
    assert mu(4096, Shift()) == pytest.approx(1.15)
    assert mu(256, Shift()) == pytest.approx(0.5)


@pytest.mark.parametrize("steps", [1, 4, 28])
@pytest.mark.parametrize("tokens", [16, 1024, 4096])
def test_noise_levels_equal_the_stock_scheduler(steps, tokens):
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(SCHEDULER)
    even = np.linspace(1.0, 1 / steps, steps)
    scheduler.set_timesteps(sigmas=even, mu=mu(tokens, Shift()))

    ours = sigmas(steps, tokens, parse_shift(SCHEDULER))

    np.testing.assert_array_equal(ours, scheduler.sigmas.numpy())
    assert ours.dtype == np.float32


def test_a_fixed_shift_equals_the_stock_scheduler_too():
    config = {**SCHEDULER, "use_dynamic_shifting": False}
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(config)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 0.25, 4))

    ours = sigmas(4, 16, parse_shift(config))

    np.testing.assert_array_equal(ours, scheduler.sigmas.numpy())


@pytest.mark.parametrize(
    ("key", "value"),
    [("use_karras_sigmas", True), ("shift_terminal", 0.1), ("time_shift_type", "linear")],
)
def test_a_schedule_we_do_not_know_is_refused_by_name(key, value):
    with pytest.raises(ValueError, match=key):
        parse_shift({**SCHEDULER, key: value})
