"""Our masked loop against diffusers' own `FluxKontextInpaintPipeline`, on tiny random weights."""

import random
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from PIL import Image  # noqa: E402

from retouch.domain.edit import Edit, MaskImage, Size, UrlImage  # noqa: E402
from retouch.domain.picture import Mask, Picture  # noqa: E402
from retouch.engine.engine import StepEngine  # noqa: E402
from retouch.engine.families import load_family  # noqa: E402
from retouch.engine.families.flux1 import Flux1Family  # noqa: E402
from retouch.engine.families.inpaint import changeable  # noqa: E402
from retouch.engine.families.session import Session  # noqa: E402
from retouch.engine.families.tiny import write_checkpoint  # noqa: E402
from retouch.engine.scheduler import Policy  # noqa: E402
from retouch.ports import Finished, Job  # noqa: E402
from retouch.testing import FakeClock  # noqa: E402

STEPS = 5
RECIPE = {"max_sequence_length": 24, "area": 64 * 64, "steps": STEPS}


def noise(width: int, height: int, seed: int) -> Picture:
    return Picture(width, height, random.Random(seed).randbytes(width * height * 3))  # noqa: S311


PHOTO, OTHER = noise(64, 64, 0), noise(48, 96, 1)
"""Both are training sizes at this area already: the pipeline is told not to resize."""


def boxed(*box: int) -> Mask:
    image = Image.new("L", (64, 64))
    image.paste(255, box)
    return Mask(64, 64, image.tobytes())


BOX = boxed(8, 24, 40, 64)
"""Made of whole latents, where both agree which are marked."""


def masked(strength: float = 1.0, *, hides: bool = False, **more: Any) -> Edit:
    said = MaskImage(UrlImage("m"), "white", strength=strength, hides=hides)
    return Edit(prompt="make it 7 times as red", seed=3, guidance=3.0, mask=said, **more)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: Any) -> tuple[Flux1Family, Any]:
    from diffusers import FluxKontextInpaintPipeline

    folder = write_checkpoint(tmp_path_factory.mktemp("weights"), recipe=RECIPE)
    pipeline = FluxKontextInpaintPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return load_family(folder), pipeline


def opened(family: Flux1Family, edit: Edit, *others: Picture, mask: Mask | None = BOX) -> Session:
    images = [replace(PHOTO, mask=mask), *others]
    sizes = [Size(image.width, image.height) for image in images]
    return family.open(family.plan(edit, sizes, edit.seed or 0), edit, images)


def finished(family: Flux1Family, sessions: list[Session]) -> list[Any]:
    """Their latents, made in common passes as far as each goes."""
    while left := [it for it in sessions if it.index < it.plan.steps]:
        family.step(left)
    return [session.latents for session in sessions]


def served(family: Flux1Family, first: Job, *later: Job) -> tuple[list[str], dict[str, Finished]]:
    """Who stepped when, and how each job ended, where the later come after two steps."""
    engine = StepEngine(family, clock=FakeClock(), policy=Policy(token_budget=1))
    engine.add(first)
    events = engine.step() + engine.step()
    for job in later:
        engine.add(job)
    while not engine.idle:
        events += engine.step()
    ended = {event.id: event for event in events if isinstance(event, Finished)}
    return [event.id for event in events if not isinstance(event, Finished)], ended


def as_image(picture: Picture) -> Image.Image:
    return Image.frombytes("RGB", (picture.width, picture.height), picture.data)


def theirs(pipeline: Any, edit: Edit, reference: Picture | None) -> Any:
    return pipeline(
        prompt=edit.prompt,
        image=as_image(PHOTO),
        image_reference=reference and as_image(reference),
        mask_image=Image.frombytes("L", (64, 64), BOX.data),
        strength=edit.mask.strength,
        height=64,
        width=64,
        max_area=64 * 64,
        num_inference_steps=STEPS,
        guidance_scale=edit.guidance,
        max_sequence_length=RECIPE["max_sequence_length"],
        generator=torch.Generator("cpu").manual_seed(edit.seed),
        output_type="latent",
        _auto_resize=False,
    ).images[0]


@pytest.mark.parametrize(
    ("strength", "reference"),
    [(1.0, None), (0.5, None), (0.88, OTHER), (0.1, OTHER)],
    ids=["all steps", "half of them", "most, by a reference", "the last, by a reference"],
)
def test_the_whole_loop_equals_the_pipeline(pair, strength, reference):
    family, pipeline = pair
    edit = masked(strength, hides=reference is not None)

    session = opened(family, edit, *([reference] if reference else []))
    (latents,) = finished(family, [session])

    assert (latents - theirs(pipeline, edit, reference)).abs().max().item() <= 1e-5
    assert session.plan.steps == len(pipeline.scheduler.timesteps) - int(STEPS - STEPS * strength)


def test_masked_and_whole_edits_share_passes_without_a_trace(pair):
    family, _ = pair
    edits = [masked(0.5), replace(masked(), mask=None), masked(), masked(steps=2)]
    masks = [BOX, None, boxed(0, 0, 16, 16), BOX]

    def all_opened() -> list[Session]:
        return [opened(family, it, mask=mask) for it, mask in zip(edits, masks, strict=True)]

    together = finished(family, all_opened())

    alone = [latents for it in all_opened() for latents in finished(family, [it])]
    for one, other in zip(together, alone, strict=True):
        assert (one - other).abs().max().item() <= 1e-5


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_a_masked_edit_that_was_paused_ends_as_if_it_had_not_been(pair, mode):
    family, _ = pair
    long = Job("long", masked(0.9, mode=mode, steps=12), (replace(PHOTO, mask=BOX),))
    short = Job("short", masked(steps=2), (replace(PHOTO, mask=boxed(0, 0, 16, 16)),))

    order, paused = served(family, long, short)
    assert order == ["long"] * 2 + ["short"] * 2 + ["long"] * 9

    _, alone = served(family, long)
    assert paused["long"].pictures == alone["long"].pictures
    assert paused["long"].metrics.get("regional_steps", 0) == (6 if mode == "fast" else 0)


def test_outside_the_mask_the_latents_end_as_the_pictures_own(pair):
    family, _ = pair
    for mode in ("exact", "fast"):
        session = opened(family, masked(mode=mode, steps=12))
        (latents,) = finished(family, [session])

        canvas = session.canvas
        kept = ~canvas.may_change
        assert torch.equal(latents[kept], canvas.original[kept])
        assert not torch.equal(latents[~kept], canvas.original[~kept])
        assert family.metrics(session).get("regional_steps", 0) == (7 if mode == "fast" else 0)


def test_a_mask_changes_nothing_of_a_picture_that_has_none(pair):
    family, _ = pair
    edit = replace(masked(), mask=None)

    whole = opened(family, masked(), mask=boxed(0, 0, 64, 64))
    plain = opened(family, edit, mask=None)

    one, other = finished(family, [whole]), finished(family, [plain])
    assert torch.equal(one[0], other[0])


def test_a_step_that_fails_moves_no_masked_session(pair, monkeypatch):
    family, _ = pair
    session = opened(family, masked())
    before = session.latents

    def broken(*_: Any) -> Any:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr("retouch.engine.families.flux.velocity", broken)
        with pytest.raises(Exception, match="out of luck"):
            family.step([session])

    assert session.index == 0
    assert session.latents is before


def test_a_recipe_may_leave_the_path_alone(pair, monkeypatch):
    family, _ = pair
    monkeypatch.setattr(family, "recipe", replace(family.recipe, puts_back=False))

    late, masked_one = opened(family, masked(0.5)), opened(family, masked())
    plain = opened(family, replace(masked(), mask=None), mask=None)

    assert (late.plan.skipped, late.plan.steps) == (2, 3)
    one, other = finished(family, [masked_one]), finished(family, [plain])
    assert torch.equal(one[0], other[0])


def test_a_thin_line_of_a_mask_is_not_lost():
    may_change = changeable(boxed(13, 0, 14, 64), Size(64, 64), channels=16)

    rows = may_change.view(4, 4, 16, 2, 2)[:, :, 0]  # tokens by tokens, a latent a cell
    assert rows[:, 0, :, 1].all()
    assert rows.sum() == 8
