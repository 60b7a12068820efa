"""Our loop against diffusers' own `Flux2KleinPipeline`, on tiny random weights."""

import logging
import random
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from PIL import Image  # noqa: E402

from retouch.domain.edit import Edit, Size  # noqa: E402
from retouch.domain.picture import Picture  # noqa: E402
from retouch.engine.families import latents_flux2, load_family, pixels  # noqa: E402
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint  # noqa: E402

RECIPE = {"max_sequence_length": 40, "area": 128 * 128, "steps": 3}
PHOTOS = [
    Picture(width, height, random.Random(width).randbytes(width * height * 3))  # noqa: S311  no secret
    for width, height in ((64, 80), (100, 70), (80, 130))
]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=[True, False], ids=["distilled", "base"])
def pair(request: Any, tmp_path_factory: Any) -> tuple[Any, Any]:
    from diffusers import Flux2KleinPipeline

    logging.getLogger("diffusers").setLevel(logging.ERROR)  # it warns of guidance it ignores
    folder = write_flux2_checkpoint(
        tmp_path_factory.mktemp("weights"), is_distilled=request.param, recipe=RECIPE
    )
    pipeline = Flux2KleinPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return load_family(folder), pipeline


def theirs(pipeline: Any, edit: Edit, images: list[Picture], output_type: str) -> Any:
    pils = [Image.frombytes("RGB", (image.width, image.height), image.data) for image in images]
    return pipeline(
        prompt=edit.prompt,
        image=pils or None,
        height=edit.size and edit.size.height,
        width=edit.size and edit.size.width,
        num_inference_steps=RECIPE["steps"],
        guidance_scale=edit.guidance,
        max_sequence_length=RECIPE["max_sequence_length"],
        generator=torch.Generator("cpu").manual_seed(edit.seed),
        output_type=output_type,
    ).images


@pytest.mark.parametrize(
    ("references", "size"),
    [(0, Size(64, 64)), (1, None), (2, Size(96, 48)), (3, None)],
    ids=["no reference", "one, its size", "two, wide", "three, the first one's size"],
)
def test_the_whole_loop_equals_the_pipeline(pair, references, size):
    family, pipeline = pair
    edit = Edit(prompt="make it 7 times as red", seed=3, size=size, guidance=3.0)
    images = PHOTOS[:references]
    sizes = [Size(image.width, image.height) for image in images]
    session = family.open(family.plan(edit, sizes, edit.seed), edit, images)
    for _ in range(session.plan.steps):
        family.step([session])

    latent = latents_flux2.unpack(family._parts.vae, session.latents, session.grid)
    assert (latent - theirs(pipeline, edit, images, "latent")).abs().max().item() <= 1e-5
    expected = np.asarray(theirs(pipeline, edit, images, "pil")[0], dtype=np.int16)
    got = np.frombuffer(family.close(session).data, dtype=np.uint8).reshape(expected.shape)
    assert np.abs(got.astype(np.int16) - expected).max() <= 1  # a rounding of the last bit


def test_a_large_reference_is_prepared_as_the_pipeline_does():
    from diffusers.pipelines.flux2.image_processor import Flux2ImageProcessor

    photo = Picture(150, 211, random.Random(0).randbytes(150 * 211 * 3))  # noqa: S311  no secret
    processor = Flux2ImageProcessor(vae_scale_factor=16)
    image = Image.frombytes("RGB", (150, 211), photo.data)
    image = processor._resize_to_target_area(image, 96 * 96)
    width, height = (side // 16 * 16 for side in image.size)
    wanted = processor.preprocess(image, height=height, width=width, resize_mode="crop")

    size = pixels.reference.capped_size(Size(150, 211), 96 * 96)
    got = pixels.to_tensor(pixels.cut(pixels.capped(photo, 96 * 96), size))

    assert torch.equal(got, wanted)
