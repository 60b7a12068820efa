"""Pipelines of diffusers driven whole: stepped, watched and cancelled like any family.

Driven here is FLUX.2's own, which needs nothing beyond the `engine` extra.
"""

import gc
import random
import threading
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from retouch.domain.edit import AspectRatio, Edit, Lora, Size
from retouch.domain.errors import EngineFailed, InvalidEdit
from retouch.domain.picture import Picture
from retouch.engine.engine import StepEngine
from retouch.engine.families import WHOLE, WeightsError, load_family, whole
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint
from retouch.engine.families.whole import WholeFamily
from retouch.ports import Finished, Job, Stepped
from retouch.testing import FakeClock

RECIPE = {"name": "tiny", "area": 64 * 64, "steps": 3}
PHOTO = Picture(96, 64, random.Random(0).randbytes(96 * 64 * 3))  # noqa: S311  no secret
OTHER = Picture(64, 80, random.Random(1).randbytes(64 * 80 * 3))  # noqa: S311  no secret


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Any:
    return write_flux2_checkpoint(
        tmp_path_factory.mktemp("weights"), is_distilled=False, recipe=RECIPE
    )


@pytest.fixture(scope="module", autouse=True)
def driven_whole():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(WHOLE, "Flux2KleinPipeline", 3)
        yield


@pytest.fixture(scope="module")
def family(folder, driven_whole):
    family = load_family(folder)
    assert isinstance(family, WholeFamily)
    return family


def opened(family, *images, **fields):
    edit = Edit(**{"prompt": "red", "seed": 3, "size": Size(48, 32), **fields})
    sizes = [Size(image.width, image.height) for image in images]
    return family.open(family.plan(edit, sizes, edit.seed), edit, images)


def test_a_step_returns_when_the_device_is_done(family, monkeypatch):
    stands = []
    monkeypatch.setattr(whole, "finish", lambda device: stands.append(device.type))
    session = opened(family, PHOTO)

    for number in range(1, session.plan.steps + 1):
        family.step([session])
        assert stands == ["cpu"] * number


@pytest.mark.parametrize("images", [[PHOTO], [PHOTO, OTHER]], ids=["one", "two"])
def test_a_picture_is_the_pipelines_own(family, folder, images):
    from diffusers import Flux2KleinPipeline

    session = opened(family, *images)
    steps = []
    for _ in range(session.plan.steps):
        family.step([session])
        steps.append(family.step_index(session))
    picture = family.close(session)

    pipeline = Flux2KleinPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    wanted = pipeline(
        image=[Image.frombytes("RGB", (it.width, it.height), it.data) for it in images],
        prompt="red",
        guidance_scale=4.0,
        width=48,
        height=32,
        num_inference_steps=3,
        generator=torch.Generator("cpu").manual_seed(3),
    ).images[0]
    assert steps == [1, 2, 3]
    assert np.array_equal(np.frombuffer(picture.data, np.uint8), np.asarray(wanted).ravel())


def test_sessions_take_turns_and_do_not_disturb_each_other(family):
    alone = []
    for seed in (1, 2):
        session = opened(family, PHOTO, seed=seed)
        for _ in range(3):
            family.step([session])
        alone.append(family.close(session))

    first, second = opened(family, PHOTO, seed=1), opened(family, PHOTO, seed=2)
    family.step([first])
    for _ in range(2):
        family.step([first, second])
    family.step([second])

    assert [family.close(first), family.close(second)] == alone


def test_dropping_a_session_ends_its_thread_within_the_step(family):
    others = set(threading.enumerate())
    session = opened(family, PHOTO, steps=50)
    family.step([session])
    (thread,) = set(threading.enumerate()) - others

    del session
    gc.collect()

    thread.join(timeout=60)
    assert not thread.is_alive()


def test_a_failing_neighbour_costs_nobody_a_step(family):
    good, bad = opened(family, PHOTO), opened(family, PHOTO)
    bad.run._arguments = {**bad.run._arguments, "image": ["no picture"]}

    with pytest.raises(EngineFailed, match="Image must be"):
        family.step([good, bad])
    assert family.step_index(good) == 0
    with pytest.raises(EngineFailed, match="Image must be"):
        family.step([bad])
    family.step([good])

    assert family.step_index(good) == 1


def test_the_engine_serves_it_with_progress(family):
    engine = StepEngine(family, clock=FakeClock())
    engine.add(Job("one", Edit(prompt="red", seed=1), (PHOTO,)))
    events = []
    while not engine.idle:
        events += engine.step()

    (done,) = [event for event in events if isinstance(event, Finished)]
    assert (done.pictures[0].width, done.pictures[0].height) == (64, 48)  # 3:2 of the area
    steps = [event.progress.step for event in events if isinstance(event, Stepped)]
    assert steps == [1, 2, 3]


@pytest.mark.parametrize(
    ("edit", "count", "words"),
    [
        (Edit(prompt="red"), 0, "images: is empty"),
        (Edit(prompt="red"), 4, "images: has 4 pictures, must have at most 3"),
        (Edit(prompt="red", loras=(Lora("one"),)), 1, "loras: are not served"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(family, edit, count, words):
    with pytest.raises(InvalidEdit, match=words):
        family.plan(edit, [Size(64, 64)] * count, 0)


def test_a_shape_wins_over_the_first_picture(family):
    edit = Edit(prompt="red", aspect_ratio=AspectRatio(1, 4))

    assert family.plan(edit, [Size(64, 48)], 0).size == Size(32, 128)


def test_a_folder_cannot_choose_the_code_that_runs(folder, tmp_path):
    import json
    import shutil

    copy = shutil.copytree(folder, tmp_path / "copy")
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps({**index, "vae": ["os", "system"]}))

    with pytest.raises(WeightsError, match=r"names os\.system for vae"):
        load_family(copy)


def test_weights_that_are_a_pickle_are_not_even_read(folder, tmp_path):
    import pickle
    import shutil
    from pathlib import Path

    class Running:
        def __reduce__(self):
            return Path.touch, (tmp_path / "it-ran",)

    copy = shutil.copytree(folder, tmp_path / "copy")
    for file in (copy / "vae").glob("*.safetensors"):
        file.unlink()
    (copy / "vae" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Running()))

    with pytest.raises(WeightsError):
        load_family(copy)

    assert not (tmp_path / "it-ran").exists()
