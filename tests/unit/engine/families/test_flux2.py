import random
from dataclasses import replace

import pytest
import torch

from retouch.domain.edit import AspectRatio, Edit, Size
from retouch.domain.errors import InvalidEdit
from retouch.domain.picture import Mask, Picture
from retouch.engine.engine import StepEngine
from retouch.engine.families import WeightsError, load_family
from retouch.engine.families.pixels import stretch
from retouch.engine.families.positions import planes
from retouch.engine.families.schedule import fitted_mu
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint
from retouch.ports import Finished, Job
from retouch.testing import FakeClock

RECIPE = {"name": "tiny", "max_sequence_length": 40, "area": 128 * 128, "steps": 3}


def photo(width: int, height: int) -> Picture:
    return Picture(width, height, random.Random(width).randbytes(width * height * 3))  # noqa: S311  no secret


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {
        kind: write_flux2_checkpoint(
            tmp_path_factory.mktemp(kind), is_distilled=kind == "distilled", recipe=RECIPE
        )
        for kind in ("distilled", "base")
    }


@pytest.fixture(scope="module")
def family(folders):
    return load_family(folders["distilled"])


@pytest.fixture(scope="module")
def base(folders):
    return load_family(folders["base"])


def test_a_masked_reference_is_stretched_so_that_it_lies_under_its_mask(family):
    picture, size = photo(100, 70), Size(96, 64)
    masked = replace(picture, mask=Mask(100, 70, b"\xff" * 7000))

    def latents(image: Picture) -> torch.Tensor:
        return family._references(family.plan(Edit(prompt="red"), [Size(100, 70)], 7), [image])

    assert torch.equal(latents(masked), latents(stretch(picture, size)))
    assert not torch.equal(latents(masked), latents(picture))


# -- plans ---------------------------------------------------------------------------------------


def test_a_picture_is_as_large_as_its_first_reference(family):
    plan = family.plan(Edit(prompt="red"), [Size(100, 70), Size(300, 200)], seed=7)

    assert plan.size == Size(96, 64)
    assert plan.references == (Size(96, 64), Size(144, 96))  # the second shrunk to the area
    assert plan.tokens == 40 + 24 + 24 + 54


def test_a_shape_wins_over_the_reference(family):
    plan = family.plan(Edit(prompt="red", aspect_ratio=AspectRatio(1, 4)), [Size(99, 70)], seed=7)

    assert plan.size == Size(64, 256)


def test_distilled_weights_take_no_guidance_and_base_weights_do(family, base):
    edit = Edit(prompt="red", guidance=5.0, size=Size(64, 64))

    assert family.plan(edit, [], 0).guidance is None
    assert base.plan(edit, [], 0).guidance == 5.0
    assert base.plan(edit, [], 0).tokens == 2 * family.plan(edit, [], 0).tokens


def test_without_a_recipe_weights_are_used_as_published(tmp_path):
    distilled = load_family(write_flux2_checkpoint(tmp_path / "distilled"))
    base = load_family(write_flux2_checkpoint(tmp_path / "base", is_distilled=False))

    assert (distilled.recipe.steps, distilled.recipe.guidance) == (4, None)
    assert (base.recipe.steps, base.recipe.guidance) == (50, 4.0)


@pytest.mark.parametrize(
    ("edit", "images", "words"),
    [
        (Edit(prompt="red"), [Size(64, 64)] * 5, "images: has 5 pictures, must have at most 4"),
        (Edit(prompt="red"), [Size(64, 40)], "images.0: is 64x40, sides must be at least 64"),
        (Edit(prompt="red"), [Size(64, 64), Size(64, 513)], "images.1: is 64x513, its long side"),
        (Edit(prompt="red", reference_layout="offset"), [], "reference_layout: is 'offset'"),
    ],
)
def test_what_these_weights_cannot_do_is_refused_by_name(family, edit, images, words):
    with pytest.raises(InvalidEdit, match=words):
        family.plan(edit, images, seed=7)


def test_a_guided_step_costs_two(family, base):
    edit = Edit(prompt="red", size=Size(64, 64))

    costs = [each.cost(each.plan(edit, [], 0)) for each in (family, base)]

    assert costs[1] == pytest.approx(2 * costs[0])


# -- parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("references", [[], [(2, 3)], [(1, 2), (3, 1), (2, 2)]])
def test_positions_are_the_pipelines(references):
    from diffusers.pipelines.flux2.pipeline_flux2_klein import Flux2KleinPipeline as Klein

    latents = [torch.zeros(1, 8, *grid) for grid in references]
    theirs = [Klein._prepare_text_ids(torch.zeros(1, 5, 4)), Klein._prepare_latent_ids(
        torch.zeros(1, 8, 4, 2)
    )]  # fmt: skip
    theirs += [Klein._prepare_image_ids(latents)] if latents else []

    assert torch.equal(planes(5, (4, 2), references), torch.cat(theirs, dim=1)[0].float())


@pytest.mark.parametrize("tokens", [16, 1024, 4096, 4300, 4301, 16384])
@pytest.mark.parametrize("steps", [1, 4, 50])
def test_the_shift_is_the_pipelines(tokens, steps):
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

    assert fitted_mu(tokens, steps) == pytest.approx(compute_empirical_mu(tokens, steps), abs=1e-12)


def test_layers_nobody_reads_are_not_kept(family):
    assert len(family._parts.qwen.layers) == 28


def test_components_that_do_not_fit_together_are_refused(tmp_path):
    folder = write_flux2_checkpoint(tmp_path / "one")
    other = write_flux2_checkpoint(tmp_path / "other", text_width=16)
    (folder / "transformer").rename(tmp_path / "away")
    (other / "transformer").rename(folder / "transformer")

    with pytest.raises(WeightsError, match="joint_attention_dim is 48"):
        load_family(folder)


def test_base_weights_need_a_guidance(folders, tmp_path):
    folder = write_flux2_checkpoint(tmp_path, is_distilled=False, recipe={"guidance": None})

    with pytest.raises(WeightsError, match="guidance is null"):
        load_family(folder)


# -- pictures ------------------------------------------------------------------------------------

REQUESTS = (  # an edit, its references, and the steps done before the packed one
    (Edit(prompt="red", size=Size(64, 64), steps=2), [], 0),
    (Edit(prompt="make it blue", guidance=2.0), [photo(64, 80)], 1),
    (Edit(prompt="three", size=Size(32, 80), steps=5), [photo(96, 64), photo(65, 99)] * 2, 2),
)


@pytest.mark.parametrize("kind", ["distilled", "base"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_requests_in_one_pass_equal_each_alone(folders, kind, dtype):
    family = load_family(folders[kind], dtype=dtype)
    together, alone = (open_all(family) for _ in range(2))

    family.step(together)
    for session in alone:
        family.step([session])

    for one, other in zip(together, alone, strict=True):
        if dtype == "bfloat16":
            assert torch.equal(one.latents, other.latents)
        else:
            torch.testing.assert_close(one.latents, other.latents, rtol=1e-6, atol=2e-6)


def open_all(family):
    sessions = []
    for seed, (edit, images, steps) in enumerate(REQUESTS):
        sizes = [Size(image.width, image.height) for image in images]
        session = family.open(family.plan(edit, sizes, seed), edit, images)
        for _ in range(steps):
            family.step([session])
        sessions.append(session)
    return sessions


def test_text_references_their_order_and_seed_all_matter(family):
    one, two = photo(64, 80), photo(96, 64)
    size = Size(64, 64)
    edits = {
        "base": (Edit(prompt="red", seed=1, size=size), [one, two]),
        "text": (Edit(prompt="blue", seed=1, size=size), [one, two]),
        "seed": (Edit(prompt="red", seed=2, size=size), [one, two]),
        "order": (Edit(prompt="red", seed=1, size=size), [two, one]),
        "fewer": (Edit(prompt="red", seed=1, size=size), [one]),
    }
    latents = {}
    for name, (edit, images) in edits.items():
        sizes = [Size(image.width, image.height) for image in images]
        session = family.open(family.plan(edit, sizes, edit.seed), edit, images)
        for _ in range(session.plan.steps):
            family.step([session])
        latents[name] = session.latents

    for name in ("text", "seed", "order", "fewer"):
        assert not torch.allclose(latents["base"], latents[name], atol=1e-4), name


def test_the_engine_serves_it(family):
    engine = StepEngine(family, clock=FakeClock())
    engine.add(Job("one", Edit(prompt="red", seed=1), (photo(70, 90),)))
    events = []
    while not engine.idle:
        events += engine.step()

    (done,) = [event for event in events if isinstance(event, Finished)]
    assert (done.pictures[0].width, done.pictures[0].height) == (64, 80)


def test_the_estimate_of_the_last_step_is_the_picture(family):
    edit = Edit(prompt="red", previews=1)
    session = family.open(family.plan(edit, [], 1), edit, [])
    assert family.preview(session) is None
    for _ in range(session.plan.steps):
        family.step([session])

    assert family.preview(session) == family.close(session)
