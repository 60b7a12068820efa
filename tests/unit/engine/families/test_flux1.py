import random
import weakref

import pytest
import torch

from retouch.domain.edit import AspectRatio, Edit, Size
from retouch.domain.errors import EngineFailed, InvalidEdit
from retouch.domain.picture import Picture
from retouch.engine.engine import StepEngine
from retouch.engine.families import flux, load_family, pixels
from retouch.engine.families.tiny import write_checkpoint
from retouch.ports import Broken, Finished, Job, Previewed
from retouch.testing import FakeClock


def photo(width: int, height: int) -> Picture:
    return Picture(width, height, random.Random(width).randbytes(width * height * 3))  # noqa: S311  no secret


PHOTO = Picture(256, 256, bytes(part for y in range(256) for x in range(256)
                                for part in (x, y, (x + y) // 2)))  # fmt: skip


def difference(one: Picture, other: Picture) -> float:
    """Mean square of the difference, 0 to 255 squared."""
    return sum((a - b) ** 2 for a, b in zip(one.data, other.data, strict=True)) / len(one.data)


@pytest.fixture(scope="module")
def family(weights):
    return load_family(weights)


@pytest.fixture
def engine(family):
    return StepEngine(family, clock=FakeClock())


def run(engine):
    events = []
    while not engine.idle:
        events += engine.step()
    return events


def finished(events):
    return {event.id: event.pictures for event in events if isinstance(event, Finished)}


# -- plans ---------------------------------------------------------------------------------------


def test_a_plan_takes_what_the_edit_leaves_open_from_the_recipe(family):
    plan = family.plan(Edit(prompt="red"), [Size(200, 100)], seed=7)

    assert (plan.size, plan.references) == (Size(96, 48), (Size(96, 48),))
    assert (plan.steps, plan.guidance, plan.seed) == (3, 2.5, 7)
    assert plan.tokens == 24 + 18 + 18


def test_an_edit_overrides_the_recipe(family):
    edit = Edit(prompt="red", steps=9, guidance=4.0, aspect_ratio=AspectRatio(1, 2))

    plan = family.plan(edit, [], seed=7)

    assert (plan.size, plan.references) == (Size(32, 80), ())
    assert (plan.steps, plan.guidance) == (9, 4.0)


def test_every_bound_an_edit_breaks_is_named_with_value_and_limit(family):
    edit = Edit(prompt="red", steps=0, guidance=99.0, size=Size(8192, 64))

    with pytest.raises(InvalidEdit) as caught:
        family.plan(edit, [Size(64, 64)] * 9, seed=7)

    assert [violation.field for violation in caught.value.violations] == [
        "steps", "guidance", "size.width", "images",
    ]  # fmt: skip
    assert "is 99.0, must be between 0 and 20" in str(caught.value)


def test_stitched_references_are_one_wide_picture(family):
    edit = Edit(prompt="red", reference_layout="stitch")

    plan = family.plan(edit, [Size(64, 64), Size(64, 128)], seed=7)

    assert plan.size == Size(64, 64)  # the first one's shape
    assert plan.references == (Size(96, 64),)  # 3:2, not of the training sizes
    assert family.plan(edit, [Size(200, 100)], seed=7).references == (Size(96, 48),)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_stitched_edits_run_with_any_number_of_pictures(family, engine, count):
    edit = Edit(prompt="red", seed=1, size=Size(48, 32), reference_layout="stitch")
    engine.add(Job("stitched", edit, tuple(photo(32 + 16 * n, 64) for n in range(count))))

    (picture,) = finished(run(engine))["stitched"]

    assert (picture.width, picture.height) == (48, 32)


def test_cost_grows_with_the_square_of_the_tokens(family):
    small, large = (
        family.cost(family.plan(Edit(prompt="red", size=size), [], seed=0))
        for size in (Size(64, 64), Size(512, 512))
    )

    assert large > 64 * small * (24 + 16) / (24 + 1024)


# -- pictures ------------------------------------------------------------------------------------


def test_mixed_edits_share_the_engine_and_come_out_as_alone(family):
    jobs = [
        Job("plain", Edit(prompt="red", seed=1, steps=2), ()),
        Job("wide", Edit(prompt="blue", seed=2, size=Size(96, 32)), (photo(30, 50),)),
        Job("two", Edit(prompt="both", seed=3, steps=4), (photo(64, 64), photo(32, 80))),
        Job("again", Edit(prompt="red", seed=1, steps=2, count=2), ()),
    ]
    shared = StepEngine(family, clock=FakeClock())
    for job in jobs:
        shared.add(job)

    together = finished(run(shared))

    for job in jobs:
        alone = StepEngine(family, clock=FakeClock())
        alone.add(job)
        for one, other in zip(together[job.id], finished(run(alone))[job.id], strict=True):
            assert (one.width, one.height) == (other.width, other.height)
            worst = max(abs(a - b) for a, b in zip(one.data, other.data, strict=True))
            assert worst <= 1
    assert together["again"][0] == together["plain"][0]
    assert together["again"][1] != together["plain"][0]


def test_text_reference_and_seed_all_matter(family):
    edits = {
        "base": Job("base", Edit(prompt="red", seed=1), (photo(64, 64),)),
        "text": Job("text", Edit(prompt="blue", seed=1), (photo(64, 64),)),
        "seed": Job("seed", Edit(prompt="red", seed=2), (photo(64, 64),)),
        "image": Job("image", Edit(prompt="red", seed=1), (photo(80, 80),)),
        "guidance": Job("guidance", Edit(prompt="red", seed=1, guidance=9), (photo(64, 64),)),
    }
    latents = {}
    for name, job in edits.items():
        sizes = [Size(image.width, image.height) for image in job.images]
        plan = family.plan(job.edit, sizes, job.edit.seed)
        session = family.open(plan, job.edit, job.images)
        for _ in range(plan.steps):
            family.step([session])
        latents[name] = session.latents

    for name in ("text", "seed", "image", "guidance"):
        assert not torch.allclose(latents["base"], latents[name], atol=1e-4), name


def test_noise_is_drawn_on_the_cpu_in_float32_by_the_seed(family):
    plan = family.plan(Edit(prompt="red", size=Size(64, 32)), [], seed=11)

    session = family.open(plan, Edit(prompt="red"), [])

    noise = torch.randn(1, 16, 4, 8, generator=torch.Generator("cpu").manual_seed(11))
    assert torch.equal(session.latents, pixels.pack(noise))


def test_an_index_layout_with_folded_positions_fits_references_to_the_target(tmp_path):
    recipe = {
        "max_sequence_length": 8, "area": 64 * 64, "steps": 2, "guidance": None,
        "reference_layout": "index", "reference_fit": "target", "position_origin": "folded",
    }  # fmt: skip
    family = load_family(write_checkpoint(tmp_path, guidance_embeds=False, recipe=recipe))
    engine = StepEngine(family, clock=FakeClock())
    engine.add(Job("a", Edit(prompt="red", seed=1), (photo(100, 50), photo(30, 30))))

    (picture,) = finished(run(engine))["a"]

    assert (picture.width, picture.height) == (96, 48)
    assert family.plan(Edit(prompt="red"), [Size(9, 9)] * 2, 0).references == (Size(64, 64),) * 2


# -- previews ------------------------------------------------------------------------------------


def test_previews_of_the_bundled_weights_get_closer_to_the_picture():
    engine = StepEngine(load_family("nano"), clock=FakeClock())
    engine.add(Job("a", Edit(prompt="invert the colours", seed=1, steps=8, previews=3), (PHOTO,)))

    events = run(engine)

    (final,) = finished(events)["a"]
    shown = [event.picture for event in events if isinstance(event, Previewed)]
    far = [difference(picture, final) for picture in shown]
    assert len(shown) == 3
    assert min(far) == far[-1]
    assert max(far) < difference(PHOTO, final) / 100


def test_asking_for_previews_changes_no_bit_of_anybodys_picture(family):
    plain, watched = (
        [Job("a", Edit(prompt="red", seed=1, steps=4, previews=previews), ()),
         Job("b", Edit(prompt="blue", seed=2, size=Size(96, 32)), (photo(30, 50),))]
        for previews in (0, 3)
    )  # fmt: skip
    results = []
    for jobs in (plain, watched):
        engine = StepEngine(family, clock=FakeClock())
        for job in jobs:
            engine.add(job)
        results.append(finished(run(engine)))

    assert results[0] == results[1]


def test_an_unwatched_session_keeps_no_estimate(family):
    edit = Edit(prompt="red")
    session = family.open(family.plan(edit, [], seed=1), edit, ())

    family.step([session])

    assert session.estimate is None
    assert family.preview(session) is None


# -- when something ends early -------------------------------------------------------------------


def test_cancelling_midway_frees_every_tensor_and_the_room(family):
    engine = StepEngine(family, clock=FakeClock(), max_jobs=1)
    engine.add(Job("a", Edit(prompt="red", seed=1), (photo(64, 64),)))
    engine.step()
    (session,) = engine._runs["a"].sessions.values()
    tensors = [weakref.ref(session.latents), weakref.ref(session.requests[0].references)]
    del session

    engine.cancel("a")

    assert [tensor() for tensor in tensors] == [None, None]
    assert engine.room() == 1


def test_a_request_that_breaks_the_shared_pass_breaks_alone(family, engine, monkeypatch):
    def velocity(model, blocks, requests, *rest):
        if any(request.target_tokens == 6 for request in requests):
            raise RuntimeError("shape mismatch")
        return true_velocity(model, blocks, requests, *rest)

    true_velocity = flux.velocity
    monkeypatch.setattr(flux, "velocity", velocity)
    engine.add(Job("good", Edit(prompt="red", seed=1), ()))
    engine.add(Job("bad", Edit(prompt="red", seed=1, size=Size(48, 32)), ()))
    engine.add(Job("fine", Edit(prompt="red", seed=1), (photo(64, 64),)))

    events = run(engine)

    (broken,) = (event for event in events if isinstance(event, Broken))
    assert (broken.id, broken.failure.error) == ("bad", "The model failed: shape mismatch")
    assert finished(events).keys() == {"good", "fine"}


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_running_out_of_memory_is_said_in_a_sentence(family, monkeypatch, error):
    def velocity(*_):
        raise error

    session = family.open(family.plan(Edit(prompt="red"), [], 0), Edit(prompt="red"), [])
    monkeypatch.setattr(flux, "velocity", velocity)

    with pytest.raises(EngineFailed, match="does not fit into the device's memory"):
        family.step([session])

    assert family.step_index(session) == 0


def test_a_lost_device_is_not_one_requests_failure(family, monkeypatch):
    def velocity(*_):
        raise torch.AcceleratorError("device-side assert")

    session = family.open(family.plan(Edit(prompt="red"), [], 0), Edit(prompt="red"), [])
    monkeypatch.setattr(flux, "velocity", velocity)

    with pytest.raises(torch.AcceleratorError):
        family.step([session])
