"""Our loop against diffusers' own `FluxKontextPipeline`, on tiny random weights."""

import random
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from PIL import Image  # noqa: E402

from retouch.domain.edit import Edit, Size  # noqa: E402
from retouch.domain.picture import Picture  # noqa: E402
from retouch.engine.families import load_family  # noqa: E402
from retouch.engine.families.flux1 import Flux1Family  # noqa: E402
from retouch.engine.families.session import Session  # noqa: E402
from retouch.engine.families.tiny import write_checkpoint  # noqa: E402

RECIPE = {"max_sequence_length": 24, "area": 64 * 64, "steps": 3}
PHOTO = Picture(64, 64, random.Random(0).randbytes(64 * 64 * 3))  # noqa: S311  no secret
TALL = Picture(48, 96, random.Random(1).randbytes(48 * 96 * 3))  # noqa: S311  no secret
"""Both are training sizes at this area already: the pipeline is told not to resize."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=[True, False], ids=["guidance", "no guidance"])
def pair(request: Any, tmp_path_factory: Any) -> tuple[Flux1Family, Any]:
    from diffusers import FluxKontextPipeline

    folder = write_checkpoint(
        tmp_path_factory.mktemp("weights"), guidance_embeds=request.param, recipe=RECIPE
    )
    pipeline = FluxKontextPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return load_family(folder), pipeline


def ours(family: Flux1Family, edit: Edit, images: list[Picture]) -> tuple[Session, Picture]:
    sizes = [Size(image.width, image.height) for image in images]
    session = family.open(family.plan(edit, sizes, edit.seed), edit, images)
    for _ in range(session.plan.steps):
        family.step([session])
    return session, family.close(session)


def theirs(pipeline: Any, edit: Edit, image: Picture | None, output_type: str, **more: Any) -> Any:
    pil = image and Image.frombytes("RGB", (image.width, image.height), image.data)
    return pipeline(
        prompt=edit.prompt,
        image=pil,
        height=edit.size.height,
        width=edit.size.width,
        max_area=edit.size.width * edit.size.height,
        num_inference_steps=RECIPE["steps"],
        guidance_scale=edit.guidance,
        max_sequence_length=RECIPE["max_sequence_length"],
        generator=torch.Generator("cpu").manual_seed(edit.seed),
        output_type=output_type,
        _auto_resize=False,
        **more,
    ).images[0]


@pytest.mark.parametrize("size", [Size(64, 64), Size(96, 48)], ids=["square", "wide"])
@pytest.mark.parametrize(
    "image", [None, PHOTO, TALL], ids=["no reference", "square reference", "tall reference"]
)
def test_the_whole_loop_equals_the_pipeline(pair, size, image):
    family, pipeline = pair
    edit = Edit(prompt="make it 7 times as red", seed=3, size=size, guidance=3.0)

    session, picture = ours(family, edit, [] if image is None else [image])

    latents = theirs(pipeline, edit, image, "latent")
    assert (session.latents - latents).abs().max().item() <= 1e-5
    expected = np.asarray(theirs(pipeline, edit, image, "pil"), dtype=np.int16)
    got = np.frombuffer(picture.data, dtype=np.uint8).reshape(expected.shape).astype(np.int16)
    assert np.abs(got - expected).max() <= 1  # a rounding of the last bit


def test_in_bfloat16_roundings_come_in_the_pipelines_order(tmp_path):
    from diffusers import FluxKontextPipeline

    folder = write_checkpoint(tmp_path, recipe=RECIPE)
    family = load_family(folder, dtype="bfloat16")
    pipeline = FluxKontextPipeline.from_pretrained(folder, dtype=torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)
    edit = Edit(prompt="make it 7 times as red", seed=3, size=Size(64, 64), guidance=3.0)
    noise = family.open(family.plan(edit, [], 3), edit, []).latents

    session, _ = ours(family, edit, [PHOTO])

    latents = theirs(pipeline, edit, PHOTO, "latent", latents=noise[None]).float()
    unit = 2.0**-8 * latents.abs().max()  # bfloat16 keeps 8 bits
    assert (session.latents.float() - latents).abs().max() <= 2 * unit
