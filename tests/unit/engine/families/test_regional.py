"""Steps that leave out the places an edit leaves alone: which, when, and what stands in."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from retouch.domain.edit import Edit, Size
from retouch.domain.errors import EngineFailed
from retouch.domain.picture import Picture
from retouch.engine.engine import StepEngine
from retouch.engine.families import fast, load_family
from retouch.engine.families.aside import Beside, aside_bytes
from retouch.engine.families.packed import recalled_velocity, velocity
from retouch.engine.families.regional import Region, edited, kind_of
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint
from retouch.engine.scheduler import Policy
from retouch.ports import Finished, Job
from retouch.testing import FakeClock

RECIPE = {"name": "tiny", "max_sequence_length": 40, "area": 64 * 64}
PHOTO = Picture(64, 64, bytes(range(256)) * 48)
STEPS = 8
CORNER = torch.zeros(4, 4, dtype=torch.bool)
CORNER[:2, :3] = True
CORNER = CORNER.view(-1)


@pytest.fixture(scope="module", params=["flux1", "flux2"])
def folder(request, weights, tmp_path_factory):
    """Weights of many steps: FLUX.1, and FLUX.2 of the base kind, with two passes a step."""
    if request.param == "flux1":
        return weights
    return write_flux2_checkpoint(
        tmp_path_factory.mktemp("base"), is_distilled=False, recipe=RECIPE
    )


@pytest.fixture(scope="module")
def family(folder):
    """With the shortcut of rows only."""
    return load_family(folder, fast_tolerance=0)


@pytest.fixture
def corner(monkeypatch):
    """Every edit changes the same corner of its picture."""
    monkeypatch.setattr(fast, "edited", lambda *_: CORNER)


def opened(family, mode="fast", *, seed=1, images=(PHOTO,), **fields):
    edit = Edit(prompt="red", steps=STEPS, mode=mode, **fields)
    sizes = [Size(image.width, image.height) for image in images]
    return family.open(family.plan(edit, sizes, seed), edit, images)


def run(family, session, steps=STEPS):
    for _ in range(steps):
        family.step([session])
    return session


def finished(engine):
    events = []
    while not engine.idle:
        events += engine.step()
    (last,) = [event for event in events if isinstance(event, Finished)]
    return last


@pytest.mark.parametrize("steps", [*range(1, 12), 28, 50, 100])
def test_regions_come_after_a_look_and_never_first_or_last(steps):
    kinds = [kind_of(step, steps) for step in range(steps)]

    assert kinds[-1] == "whole"
    assert kinds[0] != "regional"
    for before, after in pairwise(kinds):
        assert (after == "regional") == (before == "look" or (before, after) == ("regional",) * 2)
    assert (steps >= 3) == ("regional" in kinds)


def test_the_full_number_of_steps_goes_as_published():
    kinds = [kind_of(step, 28) for step in range(28)]

    assert [step for step, kind in enumerate(kinds) if kind == "look"] == [5, 16]
    assert [step for step, kind in enumerate(kinds) if kind == "whole"] == [0, 1, 2, 3, 4, 26, 27]


def marks(*places, likeness=0.9):
    """Which places of an 8x8 grid count when these are unlike."""
    reference = torch.ones(64, 4)
    estimate = 3 * reference  # as alike as can be: a cosine knows no size
    for row, column in places:
        estimate[8 * row + column] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    return edited(estimate, reference, (8, 8), likeness).view(8, 8)


def test_nothing_counts_where_all_is_alike_and_all_where_nothing_can_be():
    assert not marks().any()
    assert marks(likeness=1.5).all()


def test_a_lone_place_is_noise():
    assert not marks((4, 4)).any()
    assert not marks((2, 3), (2, 4), (6, 0)).any()


def test_what_has_all_its_neighbours_counts_with_two_places_round_it():
    cross = marks((3, 4), (4, 3), (4, 4), (4, 5), (5, 4))

    assert cross.nonzero().min(dim=0).values.tolist() == [2, 2]
    assert cross.nonzero().max(dim=0).values.tolist() == [6, 6]
    assert cross.sum() == 25


def test_a_place_on_the_rim_needs_no_neighbour_outside():
    assert marks((0, 0), (0, 1), (1, 0))[:3, :3].all()
    assert marks((0, 0), (0, 1), (1, 0)).sum() == 9


@pytest.mark.parametrize("is_edited", [CORNER, torch.ones(16, dtype=torch.bool)])
def test_at_the_step_it_was_noted_a_region_moves_as_in_a_whole_pass(family, is_edited):
    session = opened(family)
    model, blocks = family._model, family._blocks
    request, latents = session.requests[0], session.latents
    with torch.inference_mode():
        (whole,) = velocity(model, blocks, [request], [latents], [3])
        notes = []
        recalled_velocity(
            model, blocks, [request], [latents], [3], [None], 0, [Beside(notes=notes)]
        )
        region = Region.of([request], is_edited, [notes], whole)
        (excerpt,) = region.excerpts

        (step,) = recalled_velocity(
            model, blocks, [excerpt.request], [latents[region.places]], [3], [None], 0,
            [Beside(aside=excerpt.aside)],
        )  # fmt: skip

    assert notes == []
    assert len(excerpt.aside[0][0]) == 16 - len(region.places) + 16
    torch.testing.assert_close(step.velocity, whole[is_edited], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(region.moved(step.velocity), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("corner")
def test_steps_are_exact_until_the_look_and_then_go_to_the_region(family):
    fast_one, exact = opened(family), opened(family, "exact")

    run(family, fast_one, 2)
    run(family, exact, 2)
    assert torch.equal(fast_one.latents, exact.latents)
    straight = exact.heads_for(fast_one.shortcuts.region.velocity)

    run(family, fast_one, 3)
    run(family, exact, 3)
    region = fast_one.shortcuts.region
    assert family.metrics(fast_one) == {
        "reused_steps": 0.0, "regional_steps": 3.0, "skipped_rows": 3.0 * (32 - 6),
    }  # fmt: skip
    assert not torch.equal(fast_one.latents[CORNER], exact.latents[CORNER])
    torch.testing.assert_close(
        fast_one.heads_for(region.velocity)[~CORNER], straight[~CORNER], rtol=0, atol=1e-5
    )


@pytest.mark.usefixtures("corner")
def test_a_region_is_let_go_when_steps_are_whole_again(family):
    session = run(family, opened(family), STEPS)

    assert session.shortcuts.region is None
    assert session.shortcuts.regional == 4
    assert family.close(session).width == 64


def test_nothing_edited_costs_nothing(family, monkeypatch):
    monkeypatch.setattr(fast, "edited", lambda *_: torch.zeros(16, dtype=torch.bool))
    session = run(family, opened(family), 2)
    monkeypatch.setattr(fast, "recalled_velocity", None)

    run(family, session, 3)

    assert session.shortcuts.skipped_rows == 3 * 32


@pytest.mark.usefixtures("corner")
@pytest.mark.parametrize("tolerance", [0, 1e9])
def test_company_changes_nothing_for_a_request_with_regions(folder, tolerance):
    family = load_family(folder, dtype="bfloat16", fast_tolerance=tolerance)
    alone = [opened(family, seed=seed) for seed in range(3)]
    together = [opened(family, seed=seed) for seed in range(3)]
    exact = opened(family, "exact", seed=5)
    lone_exact = run(family, opened(family, "exact", seed=5), 4)
    for session, ahead in zip(together, (0, 1, 3), strict=True):  # each at a step of another kind
        run(family, session, ahead)
    for session, ahead in zip(alone, (0, 1, 3), strict=True):
        run(family, session, ahead + 4)

    for _ in range(4):
        family.step([*together, exact])

    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one.latents, other.latents)
        assert family.metrics(one) == family.metrics(other)
    assert torch.equal(exact.latents, lone_exact.latents)


@pytest.mark.usefixtures("corner")
def test_both_shortcuts_work_together(folder):
    family = load_family(folder, fast_tolerance=1e9)

    session = run(family, opened(family), STEPS)

    # Whole: the first, both looks, and the last, whose recall was of a region.
    assert family.metrics(session)["reused_steps"] == 4.0
    assert family.metrics(session)["regional_steps"] == 4.0


@pytest.mark.usefixtures("corner")
@pytest.mark.parametrize("done", [1, 3, 5])
def test_a_step_that_fails_can_be_taken_again(family, monkeypatch, done):
    undisturbed = run(family, opened(family), STEPS)
    session = run(family, opened(family), done)
    with monkeypatch.context() as patch:
        patch.setattr(fast, "recalled_velocity", None)
        with pytest.raises(EngineFailed):
            family.step([session])
    assert session.index == done

    run(family, session, STEPS - done)

    assert torch.equal(session.latents, undisturbed.latents)


@pytest.mark.usefixtures("corner")
def test_a_preview_of_a_region_shows_the_whole_picture(family):
    session = run(family, opened(family, previews=1), 4)

    preview = family.preview(session)

    assert (preview.width, preview.height) == (64, 64)
    assert session.index == 4


@pytest.mark.parametrize(
    ("fields", "images", "why"),
    [
        ({}, (), "there are 0 references to compare with, not one"),
        ({}, (PHOTO, PHOTO), "there are 2 references to compare with, not one"),
        ({"size": Size(96, 48)}, (PHOTO,), "the reference has another shape than the picture"),
        ({"steps": 2}, (PHOTO,), "2 steps are too few"),
    ],
)
def test_an_edit_without_regions_says_why(family, fields, images, why):
    engine = StepEngine(family, clock=FakeClock())
    edit = replace(Edit(prompt="red", steps=STEPS, seed=1, mode="fast"), **fields)
    engine.add(Job("a", edit, images))

    end = finished(engine)

    assert f"No region-aware steps: {why}\n" in end.logs
    assert end.metrics["regional_steps"] == 0.0


def test_what_is_kept_aside_is_in_the_plan(family):
    edit = Edit(prompt="red", steps=STEPS)
    exact = family.plan(edit, [Size(64, 64)], 1)
    quick = family.plan(replace(edit, mode="fast"), [Size(64, 64)], 1)
    session = run(family, opened(family), 2)
    region = session.shortcuts.region

    for excerpt in region.excerpts:
        aside = sum(x.nbytes for pair in excerpt.aside for x in pair)
        rows = len(excerpt.aside[0][0])
        assert aside == aside_bytes(family._model, rows)
    most = len(region.excerpts) * aside_bytes(family._model, 32)
    assert quick.held_bytes - exact.held_bytes == most >= len(region.excerpts) * aside
    assert quick.notes == ()


def test_an_edit_whose_regions_do_not_fit_is_served_exact_and_says_so(family):
    edit = Edit(prompt="red", steps=STEPS, seed=1)
    plan = family.plan(edit, [Size(64, 64)], 1)
    policy = Policy(memory_bytes=plan.held_bytes + plan.peak_bytes)
    pictures = {}
    for mode in ("exact", "fast"):
        engine = StepEngine(family, clock=FakeClock(), policy=policy)
        engine.add(Job(mode, replace(edit, mode=mode), (PHOTO,)))
        end = finished(engine)
        pictures[mode] = end.pictures

    assert "Mode: exact; no memory for fast mode\n" in end.logs
    assert pictures["fast"] == pictures["exact"]
