"""FLUX.2 in fast mode: steps cut short where weights take many, for those that asked only."""

import pytest
import torch

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.engine import StepEngine
from retouch.engine.families import load_family
from retouch.engine.families.packed import recalled_velocity, velocity
from retouch.engine.families.packed_flux2 import BLOCKS
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint
from retouch.ports import Finished, Job
from retouch.testing import FakeClock

RECIPE = {"name": "tiny", "max_sequence_length": 40, "area": 64 * 64, "steps": 5}
REUSE_ONLY = {"fast_likeness": 0}
"""Without regions, which have tests of their own."""

PHOTO = Picture(64, 64, bytes(range(256)) * 48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_flux2_checkpoint(
        tmp_path_factory.mktemp("base"), is_distilled=False, recipe=RECIPE
    )


def opened(family, mode="fast", *, seed=1, guidance=4.0):
    edit = Edit(prompt="red", guidance=guidance, mode=mode)
    return family.open(family.plan(edit, [Size(64, 64)], seed), edit, [PHOTO])


@pytest.mark.parametrize("guidance", [1.0, 4.0], ids=["one pass a step", "two"])
def test_with_boundless_tolerance_only_the_first_step_is_whole(folder, guidance):
    family = load_family(folder, fast_tolerance=1e9, **REUSE_ONLY)
    fast, exact = (opened(family, mode, guidance=guidance) for mode in ("fast", "exact"))

    for _ in range(5):
        family.step([fast])
        family.step([exact])

    assert family.metrics(fast)["reused_steps"] == 4.0
    assert not torch.equal(fast.latents, exact.latents)
    torch.testing.assert_close(fast.latents, exact.latents, rtol=0, atol=1.0)


def test_a_neighbour_in_fast_mode_changes_nothing_for_an_exact_request(folder):
    family = load_family(folder, dtype="bfloat16", fast_tolerance=1e9, **REUSE_ONLY)
    alone, together, fast = opened(family, "exact"), opened(family, "exact"), opened(family)

    for _ in range(3):
        family.step([alone])
        family.step([fast, together])

    assert torch.equal(together.latents, alone.latents)
    assert (family.metrics(together), fast.shortcuts.reused) == ({}, 4)


def test_each_request_of_a_pass_is_judged_by_itself(folder):
    family = load_family(folder, dtype="bfloat16")
    sessions = [opened(family, seed=seed, guidance=1.0) for seed in range(3)]
    requests = [session.requests[0] for session in sessions]
    latents = [session.latents for session in sessions]
    with torch.inference_mode():

        def recalled(places, step, recalls):
            return recalled_velocity(
                family._model,
                BLOCKS,
                [requests[place] for place in places],
                [latents[place] for place in places],
                [step] * len(places),
                recalls,
                1e9,
            )

        whole = recalled([0, 1, 2], 0, [None] * 3)
        mixed = recalled([0, 1, 2], 3, [whole[0].recall, None, whole[2].recall])
        alone = recalled([2], 3, [whole[2].recall])
        exact = velocity(family._model, BLOCKS, requests, latents, [3] * 3)

    assert [step.is_reused for step in whole] == [False] * 3
    assert [step.is_reused for step in mixed] == [True, False, True]
    assert torch.equal(mixed[1].velocity, exact[1])
    assert torch.equal(mixed[2].velocity, alone[0].velocity)
    assert not torch.equal(mixed[2].velocity, exact[2])


def test_distilled_weights_serve_such_an_edit_exact_and_say_why(tmp_path):
    family = load_family(write_flux2_checkpoint(tmp_path, recipe=RECIPE))
    engine = StepEngine(family, clock=FakeClock())
    engine.add(Job("a", Edit(prompt="red", seed=1, mode="fast"), ()))

    events = []
    while not engine.idle:
        events += engine.step()

    (finished,) = (event for event in events if isinstance(event, Finished))
    assert "Mode: exact; distilled weights have no fast mode" in finished.logs
    assert "reused_steps" not in finished.metrics
