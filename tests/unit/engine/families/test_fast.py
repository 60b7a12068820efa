"""Fast mode: steps cut short for those that asked, nobody else, and never unsaid."""

from typing import get_args

import pytest
import torch

from retouch.domain.edit import Edit, Mode, Size
from retouch.domain.picture import Picture
from retouch.engine.engine import StepEngine
from retouch.engine.families import load_family
from retouch.engine.families.packed import recalled_velocity, velocity
from retouch.engine.families.packed_flux1 import BLOCKS
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint
from retouch.ports import Finished, Job
from retouch.testing import FakeClock

REUSE_ONLY = {"fast_likeness": 0}
"""Without regions, which have tests of their own."""

PHOTO = Picture(64, 64, bytes(range(256)) * 48)


@pytest.fixture(scope="module", params=["flux1", "flux2"])
def either(request, weights, tmp_path_factory):
    """Weights of a family that has the mode."""
    if request.param == "flux1":
        return weights
    return write_flux2_checkpoint(tmp_path_factory.mktemp("base"), is_distilled=False)


def opened(family, mode="fast", steps=6, seed=1):
    edit = Edit(prompt="red", steps=steps, mode=mode)
    return family.open(family.plan(edit, [Size(64, 64)], seed), edit, [PHOTO])


def run_all(engine):
    events = []
    while not engine.idle:
        events += engine.step()
    return [event for event in events if isinstance(event, Finished)]


def run(engine):
    (finished,) = run_all(engine)
    return finished


def test_without_tolerance_every_step_is_whole_and_exact(either):
    family = load_family(either, fast_tolerance=1e-9, **REUSE_ONLY)
    fast, exact = opened(family), opened(family, "exact")

    for _ in range(6):
        family.step([fast])
        family.step([exact])

    assert family.metrics(fast)["reused_steps"] == 0.0
    assert torch.equal(fast.latents, exact.latents)


def test_with_boundless_tolerance_only_the_first_step_is_whole(weights):
    family = load_family(weights, fast_tolerance=1e9, **REUSE_ONLY)
    fast, exact = opened(family), opened(family, "exact")

    for _ in range(6):
        family.step([fast])
        family.step([exact])

    assert family.metrics(fast)["reused_steps"] == 5.0
    assert not torch.equal(fast.latents, exact.latents)
    torch.testing.assert_close(fast.latents, exact.latents, rtol=0, atol=0.5)


def test_a_neighbour_in_fast_mode_changes_nothing_for_an_exact_request(weights):
    family = load_family(weights, dtype="bfloat16", fast_tolerance=1e9, **REUSE_ONLY)
    alone, together, fast = opened(family, "exact"), opened(family, "exact"), opened(family)

    for _ in range(3):
        family.step([alone])
        family.step([fast, together])

    assert torch.equal(together.latents, alone.latents)
    assert (family.metrics(together), fast.shortcuts.reused) == ({}, 2)


def test_each_request_of_a_pass_is_judged_by_itself(weights):
    family = load_family(weights, dtype="bfloat16")
    sessions = [opened(family, seed=seed) for seed in range(3)]
    model, requests = family._model, [session.requests[0] for session in sessions]
    latents = [session.latents for session in sessions]
    with torch.inference_mode():
        whole = recalled_velocity(model, BLOCKS, requests, latents, [0] * 3, [None] * 3, 1e9)
        recalls = [whole[0].recall, None, whole[2].recall]

        mixed = recalled_velocity(model, BLOCKS, requests, latents, [3] * 3, recalls, 1e9)

        exact = velocity(model, BLOCKS, requests, latents, [3] * 3)
        alone = recalled_velocity(model, BLOCKS, requests[2:], latents[2:], [3], recalls[2:], 1e9)
    assert [step.is_reused for step in whole] == [False] * 3
    assert [step.is_reused for step in mixed] == [True, False, True]
    assert torch.equal(mixed[1].velocity, exact[1])
    assert torch.equal(mixed[2].velocity, alone[0].velocity)
    assert not torch.equal(mixed[2].velocity, exact[2])


def test_what_is_kept_for_it_is_in_the_plan(either):
    family = load_family(either, **REUSE_ONLY)
    fast, exact = (
        family.plan(Edit(prompt="red", mode=mode), [Size(64, 64)], 1) for mode in ("fast", "exact")
    )
    session = opened(family)
    family.step([session])

    kept = sum(t.nbytes for each in session.shortcuts.recalls for t in (each.first, each.rest))
    assert [fast.mode, exact.mode] == ["fast", "exact"]
    assert fast.held_bytes - exact.held_bytes == kept > 0


def test_what_was_reused_is_in_the_logs_and_the_metrics(weights):
    engine = StepEngine(load_family(weights, fast_tolerance=1e9, **REUSE_ONLY), clock=FakeClock())
    engine.add(Job("a", Edit(prompt="red", seed=1, steps=6, count=2, mode="fast"), ()))

    finished = run(engine)

    assert finished.metrics["reused_steps"] == 10.0
    assert "Mode: fast, not exact: {'reused_steps': 10.0, " in finished.logs


def test_an_exact_edit_says_nothing_of_modes(weights):
    engine = StepEngine(load_family(weights), clock=FakeClock())
    engine.add(Job("a", Edit(prompt="red", seed=1), ()))

    finished = run(engine)

    assert "reused_steps" not in finished.metrics
    assert "Mode" not in finished.logs


def test_without_a_fast_mode_here_edits_that_ask_for_it_are_exact_and_say_so(weights):
    engine = StepEngine(load_family(weights, fast_tolerance=0, **REUSE_ONLY), clock=FakeClock())
    for mode in get_args(Mode):
        engine.add(Job(mode, Edit(prompt="red", seed=1, steps=6, mode=mode), ()))

    finished = {event.id: event for event in run_all(engine)}

    fast, exact = finished["fast"], finished["exact"]
    assert "Mode: exact; these weights have no fast mode here\n" in fast.logs
    assert "Mode" not in exact.logs
    assert "reused_steps" not in fast.metrics
    assert fast.pictures == exact.pictures
