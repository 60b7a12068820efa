"""Qwen-Image-Edit, one picture or several: tiny weights in the real layout, by the real loader."""

import gc
import random
import shutil
import threading
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.engine import StepEngine
from retouch.engine.families import WHOLE, WeightsError, load_family
from retouch.engine.families.processor import read_processor
from retouch.engine.families.tiny_qwen import write_qwen_checkpoint
from retouch.engine.families.whole import WholeFamily
from retouch.ports import Finished, Job, Stepped
from retouch.testing import FakeClock

MODULES = {
    "QwenImageEditPipeline": "diffusers.pipelines.qwenimage.pipeline_qwenimage_edit",
    "QwenImageEditPlusPipeline": "diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus",
}
RECIPE = {"name": "tiny", "area": 64 * 64, "steps": 3}
PHOTO = Picture(96, 64, random.Random(0).randbytes(96 * 64 * 3))  # noqa: S311  no secret
OTHER = Picture(64, 80, random.Random(1).randbytes(64 * 80 * 3))  # noqa: S311  no secret


@pytest.fixture(scope="module", params=sorted(MODULES))
def kind(request):
    """A pipeline that takes references at a 64th of the megapixel they are trained for."""
    module = import_module(MODULES[request.param])
    dimensions = module.calculate_dimensions

    def smaller(area: float, ratio: float) -> Any:
        return dimensions(area / 64, ratio)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "calculate_dimensions", smaller)
        yield request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    return write_qwen_checkpoint(tmp_path_factory.mktemp("weights"), pipeline=kind, recipe=RECIPE)


@pytest.fixture(scope="module")
def family(folder):
    return load_family(folder)


def test_a_picture_is_the_pipelines_own(family, folder, kind):
    import diffusers

    photos = [PHOTO, OTHER][: min(2, WHOLE[kind])]
    edit = Edit(prompt="make it red", seed=3, size=Size(48, 32), guidance=3.0)
    sizes = [Size(it.width, it.height) for it in photos]
    session = family.open(family.plan(edit, sizes, 3), edit, photos)
    for _ in range(session.plan.steps):
        family.step([session])
    picture = family.close(session)

    pipeline = getattr(diffusers, kind).from_pretrained(
        folder, processor=read_processor(folder / "processor")
    )
    pipeline.set_progress_bar_config(disable=True)
    images = [Image.frombytes("RGB", (it.width, it.height), it.data) for it in photos]
    wanted = pipeline(
        image=images if WHOLE[kind] > 1 else images[0],
        prompt="make it red",
        negative_prompt=" ",
        true_cfg_scale=3.0,
        width=48,
        height=32,
        num_inference_steps=3,
        generator=torch.Generator("cpu").manual_seed(3),
    ).images[0]
    assert isinstance(family, WholeFamily)
    assert np.array_equal(np.frombuffer(picture.data, np.uint8), np.asarray(wanted).ravel())
    assert np.asarray(wanted).std() > 1  # noise, not a blank


def test_the_engine_serves_it_with_progress(family):
    engine = StepEngine(family, clock=FakeClock())
    engine.add(Job("one", Edit(prompt="red", seed=1), (PHOTO,)))
    events = []
    while not engine.idle:
        events += engine.step()

    steps = [event.progress.step for event in events if isinstance(event, Stepped)]
    (done,) = [event for event in events if isinstance(event, Finished)]
    assert steps == [1, 2, 3]
    assert (done.pictures[0].width, done.pictures[0].height) == (64, 48)  # 3:2 of the area


def test_a_cancel_takes_hold_within_a_step(family):
    others = set(threading.enumerate())
    engine = StepEngine(family, clock=FakeClock())
    engine.add(Job("one", Edit(prompt="red", seed=1, steps=50), (PHOTO,)))
    events = []
    while not any(isinstance(event, Stepped) for event in events):
        events += engine.step()
    (thread,) = set(threading.enumerate()) - others

    engine.cancel("one")
    ended = engine.step()
    gc.collect()

    assert ended == []
    assert engine.idle
    thread.join(timeout=60)
    assert not thread.is_alive()


def test_pictures_become_as_many_marks_as_they_have_patches(folder):
    processor = read_processor(folder / "processor")
    image = Image.new("RGB", (112, 56), "red")

    read = processor(text=["<|image_pad|> red"], images=[image], return_tensors="pt")

    mark = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert read["image_grid_thw"].tolist() == [[1, 4, 8]]
    assert int((read["input_ids"] == mark).sum()) == 4 * 8 // 4  # four patches a mark
    assert read["pixel_values"].shape == (4 * 8, 3 * 2 * 14 * 14)


def test_a_missing_processor_is_named(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(copy / "processor")

    with pytest.raises(WeightsError, match=r"cannot load Qwen.* from .*copy"):
        load_family(copy)


def test_loading_says_nothing_of_its_progress(folder, capfd):
    load_family(folder)

    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
