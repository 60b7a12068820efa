"""Weights that wait in main memory: on the device while their layer computes, and else not there.

The device is the processor here, and main memory is torch's `meta`, where nothing can be computed.
"""

import random
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import nn

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.families import WHOLE, WeightsError, checkpoint, load_family, offload
from retouch.engine.families.tiny import write_checkpoint
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint

RECIPE = {"name": "tiny", "max_sequence_length": 40, "area": 64 * 64}
PHOTO = Picture(64, 64, random.Random(0).randbytes(64 * 64 * 3))  # noqa: S311  no secret


class Faraway(offload.Mover):
    """A mover between `meta` and the processor."""

    def __init__(self, _device: str = "cpu") -> None:
        super().__init__("cpu")
        self._kept: dict[int, Any] = {}

    def home(self, weight: Any) -> Any:
        waiting = weight.to("meta")
        self._kept[id(waiting)] = waiting, weight  # both, so that the identity stays taken
        return waiting

    def out(self, weight: Any) -> Any:
        return self._kept[id(weight)][1] if weight.is_meta else weight


@pytest.fixture
def faraway(monkeypatch):
    """Offload on the processor, by that mover."""
    monkeypatch.setattr(offload, "check_offload", lambda *_, **__: None)
    monkeypatch.setattr(checkpoint, "Mover", Faraway)


@pytest.fixture(scope="module", params=[write_checkpoint, write_flux2_checkpoint])
def folder(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("weights"), recipe=RECIPE)


def edited(family, mode="exact"):
    """Two requests through the same steps, encoded, decoded and previewed."""
    pictures = []
    sessions = []
    for seed, size in enumerate((Size(64, 48), Size(32, 80))):
        edit = Edit(prompt="red", seed=seed, steps=2, size=size, previews=1, mode=mode)
        sessions.append(family.open(family.plan(edit, [Size(64, 64)], seed), edit, [PHOTO]))
    for _ in range(2):
        family.step(sessions)
        pictures += [family.preview(session) for session in sessions]
    return pictures + [family.close(session) for session in sessions]


def waiting(model):
    """The share of a model's weights that are not on the device."""
    weights = [it.is_meta for it in model.parameters()]
    return sum(weights) / len(weights)


def side_models(family):
    parts = family._parts
    encoders = [parts.t5, parts.clip] if hasattr(parts, "t5") else [parts.qwen]
    return [*encoders, parts.vae]


@pytest.mark.parametrize("kind", ["model", "sequential"])
def test_an_edit_is_the_same_and_leaves_nothing_on_the_device(faraway, folder, kind):
    family = load_family(folder, offload=kind)

    assert edited(family) == edited(load_family(folder))
    assert [waiting(model) for model in side_models(family)] == [1.0] * len(side_models(family))
    assert waiting(family._model) == (1.0 if kind == "sequential" else 0.0)


def test_fast_mode_finds_its_layers_too(faraway, weights):
    assert edited(load_family(weights, offload="sequential"), "fast") == edited(
        load_family(weights), "fast"
    )


@pytest.mark.skipif(
    find_spec("torchao") is None, reason="torchao is not installed: pip install '.[quant]'"
)
@pytest.mark.parametrize("quantisation", ["int8", "int8-dynamic"])
def test_rounded_weights_travel_as_they_are(faraway, folder, quantisation):
    family = load_family(folder, offload="sequential", quantisation=quantisation)

    assert edited(family) == edited(load_family(folder, quantisation=quantisation))
    assert waiting(family._model) == 1.0


class Tied(nn.Module):
    """Two layers that share a weight, and one of the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("scale", torch.tensor(2.0))
        self.bare = nn.Parameter(torch.ones(3))

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x)) * self.scale + self.bare


def test_tied_weights_wait_once():
    model, mover = Tied(), Faraway()
    wanted = model(torch.ones(1, 3))

    offload.lodge(model, mover)

    assert model.first.weight is model.second.weight
    assert not model.bare.is_meta  # outside of any layer
    assert torch.equal(model(torch.ones(1, 3)), wanted)


def test_a_layer_that_fails_leaves_its_weights_at_home():
    model = Tied()
    offload.lodge(model, Faraway())

    with pytest.raises(RuntimeError):
        model(torch.ones(1, 4))

    assert model.first.weight.is_meta


def test_each_layer_travels_once_a_pass(faraway, weights):
    family = load_family(weights, offload="sequential")
    edit = Edit(prompt="red", steps=3, size=Size(64, 64))
    sessions = [family.open(family.plan(edit, [], seed), edit, []) for seed in (1, 2)]
    counted = []
    for layer in (family._model.x_embedder, family._model.single_transformer_blocks[0].proj_out):
        layer.register_forward_pre_hook(lambda *_: counted.append(1))

    family.step(sessions)

    assert len(counted) == 2  # not once a request


@pytest.mark.parametrize(
    ("kind", "device", "message"),
    [
        ("disk", "cuda", "the offload is 'disk'; known: none, model, sequential"),
        ("model", "cpu", "'model' frees the memory of a CUDA device, not of 'cpu'"),
        ("sequential", "mps", "not of 'mps'; it must be 'none' there"),
        ("sequential", "cuda:1", "'sequential' has no room for LoRAs; take 'model'"),
    ],
)
def test_what_makes_no_sense_is_refused(kind, device, message):
    with pytest.raises(WeightsError, match=message):
        offload.check_offload(kind, device, has_loras=True)


def test_side_models_may_wait_beside_loras():
    offload.check_offload("model", "cuda", has_loras=True)


def test_on_the_processor_it_is_refused_before_weights_are_read():
    with pytest.raises(WeightsError, match="it must be 'none' there"):
        load_family("nano", device="cpu", offload="model")


@pytest.mark.parametrize("kind", ["model", "sequential"])
def test_pipelines_driven_whole_wait_as_diffusers_has_them(faraway, monkeypatch, tmp_path, kind):
    from diffusers import Flux2KleinPipeline

    monkeypatch.setitem(WHOLE, "Flux2KleinPipeline", 3)
    asked = []
    monkeypatch.setattr(
        Flux2KleinPipeline, f"enable_{kind}_cpu_offload", lambda _self, device: asked.append(device)
    )

    load_family(write_flux2_checkpoint(tmp_path, recipe=RECIPE), offload=kind)

    assert asked == ["cpu"]
