"""Weights rounded while they load: refused by name where they cannot be, and used as they are."""

import logging
import random
from importlib import import_module
from importlib.util import find_spec

import pytest
import torch

from retouch.domain.edit import Edit, Lora, Size
from retouch.domain.picture import Picture
from retouch.engine.families import WHOLE, WeightsError, load_family, quantised
from retouch.engine.families.packed import velocity
from retouch.engine.families.packed_flux1 import BLOCKS
from retouch.engine.families.tiny import write_checkpoint
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint
from tests.unit.engine.families.test_lora import TARGETS, write_lora

RECIPE = {"name": "tiny", "max_sequence_length": 40, "area": 64 * 64}
PHOTO = Picture(64, 64, random.Random(0).randbytes(64 * 64 * 3))  # noqa: S311  no secret

needs_torchao = pytest.mark.skipif(
    find_spec("torchao") is None, reason="torchao is not installed: pip install '.[quant]'"
)
integers = pytest.mark.parametrize("quantisation", ["int8", "int8-dynamic"])


@pytest.fixture
def present(monkeypatch):
    """torchao as far as looking for it goes."""
    monkeypatch.setattr(quantised, "find_spec", lambda name: name)


@pytest.mark.parametrize(
    ("quantisation", "device", "dtype", "message"),
    [
        ("int4", "cpu", "bfloat16", "is 'int4'; known: none, int8, int8-dynamic, float8"),
        ("int8", "mps", "bfloat16", "needs a device that is cpu or cuda, not 'mps'"),
        ("float8", "cuda", "float32", "'float8' needs the dtype bfloat16, not 'float32'"),
        ("float8", "cpu", "float32", r"CUDA device of compute capability 9.0 .* not 'cpu'"),
        ("float8", "cuda:1", "bfloat16", r"capability 9.0 or newer; 'cuda:1' has 8.6"),
    ],
)
def test_what_a_device_cannot_do_is_named(
    present, monkeypatch, quantisation, device, dtype, message
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))

    with pytest.raises(WeightsError, match=message):
        quantised.check_quantisation(quantisation, device, dtype)


def test_float8_is_for_hopper(present, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))

    quantised.check_quantisation("float8", "cuda", "bfloat16")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(quantised, "find_spec", lambda name: None)

    with pytest.raises(WeightsError, match=r"'int8' needs the package torchao.*\[quant\]"):
        load_family("nano", device="cpu", quantisation="int8")


def test_a_gguf_file_is_not_quantised_again(present, monkeypatch, weights, tmp_path):
    monkeypatch.setattr(
        "retouch.engine.families.checkpoint.loading_options", lambda *_: {"some": "options"}
    )
    file = tmp_path / "it.gguf"
    file.touch()

    with pytest.raises(WeightsError, match=r"it\.gguf is quantised already.* not 'int8'"):
        load_family(weights, transformer=file, quantisation="int8")


@pytest.fixture(scope="module", params=["flux1", "flux2"])
def shop(request, tmp_path_factory):
    """A checkpoint of each family, and a folder with a LoRA for it."""
    folder, loras = tmp_path_factory.mktemp("weights"), tmp_path_factory.mktemp("loras")
    write = write_checkpoint if request.param == "flux1" else write_flux2_checkpoint
    model = load_family(write(folder, recipe=RECIPE))._model
    write_lora(loras / "one.safetensors", model, TARGETS[request.param], rank=2, seed=1)
    return folder, loras


def opened(family, seed=3, loras=(), size=None):
    edit = Edit(prompt="red", seed=seed, steps=2, size=size or Size(64, 48), loras=loras)
    return family.open(family.plan(edit, [Size(64, 64)], seed), edit, [PHOTO])


def moved(family, **fields):
    """How far two steps move the noise, which is what the transformer decides."""
    session = opened(family, **fields)
    start = session.latents
    for _ in range(2):
        family.step([session])
    return (session.latents - start).float()


def error(one, other):
    return float((one - other).norm() / other.norm())


def is_quantised(model):
    base = import_module("torchao.utils").TorchAOBaseTensor
    return [
        isinstance(it.weight, base) for it in model.modules() if isinstance(it, torch.nn.Linear)
    ]


@needs_torchao
@integers
def test_the_large_models_are_small_and_edit_nearly_as_before(shop, quantisation):
    folder, _ = shop
    exact = moved(load_family(folder))

    family = load_family(folder, quantisation=quantisation)

    encoder = getattr(family._parts, "t5", None) or family._parts.qwen
    assert sum(is_quantised(family._model)) > 10
    assert type(family._model.proj_out.weight) is torch.nn.Parameter
    assert all(is_quantised(encoder))
    assert 0 < error(moved(family), exact) < 0.02


@needs_torchao
def test_rounded_weights_are_used_as_they_are(shop):
    folder, _ = shop
    rounded, plain = load_family(folder, quantisation="int8"), load_family(folder)
    for name, linear in plain._model.named_modules():
        if isinstance(linear, torch.nn.Linear):
            weight = rounded._model.get_submodule(name).weight
            linear.weight = torch.nn.Parameter(getattr(weight, "dequantize", lambda w=weight: w)())
    rounded._text = plain._text

    assert error(moved(rounded), moved(plain)) < 1e-5


@needs_torchao
@integers
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_company_changes_no_more_than_the_last_place(shop, quantisation, dtype):
    folder, _ = shop
    family = load_family(folder, quantisation=quantisation, dtype=dtype)
    sizes = (Size(64, 48), Size(32, 96), Size(16, 16))
    together = [opened(family, seed, size=size) for seed, size in enumerate(sizes)]
    alone = [opened(family, seed, size=size) for seed, size in enumerate(sizes)]

    family.step(together)
    for session in alone:
        family.step([session])

    # A breath in float32 may carry a number over the edge between two of the 256 it is rounded to.
    near = 1e-5 if quantisation == "int8" else 2e-3
    for one, other in zip(together, alone, strict=True):
        if dtype == "bfloat16":
            assert torch.equal(one.latents, other.latents)
        else:
            torch.testing.assert_close(one.latents, other.latents, rtol=near, atol=near)


@needs_torchao
@integers
def test_a_pass_is_that_of_diffusers_over_the_same_weights(weights, quantisation):
    family = load_family(weights, quantisation=quantisation)
    edit = Edit(prompt="red", size=Size(64, 48), steps=2)
    session = family.open(family.plan(edit, [], 1), edit, [])
    count = len(session.latents)
    text = 24
    with torch.inference_mode():
        encoded = family._text.encode(edit.prompt)
        (ours,) = velocity(family._model, BLOCKS, [session.requests[0]], [session.latents], [0])
        ids = import_module("retouch.engine.families.positions").position_ids(
            text, (3, 4), [], layout="offset", origin="corner"
        )
        theirs = family._model(
            hidden_states=session.latents[None],
            encoder_hidden_states=encoded.tokens[None],
            pooled_projections=encoded.pooled[None],
            timestep=session.sigmas[:1],
            guidance=torch.tensor([session.plan.guidance]),
            txt_ids=ids[:text],
            img_ids=ids[text:],
        ).sample[0, :count]

    assert error(ours, theirs) < 1e-5


@needs_torchao
@integers
def test_loras_change_rounded_weights_as_others(shop, quantisation):
    folder, loras = shop
    worn = (Lora("one", 1.0),)
    wanted = moved(load_family(folder, loras=loras), loras=worn)
    family = load_family(folder, loras=loras, quantisation=quantisation)
    bare = moved(family)

    changed = moved(family, loras=worn)

    assert error(changed, wanted) < 0.02 < error(bare, wanted)
    assert torch.equal(moved(family), bare)


@needs_torchao
def test_float8_has_a_scale_for_every_row(tmp_path, monkeypatch):
    """Its products, which the processor can form too, only slowly; the checks of it are off."""
    monkeypatch.setattr(quantised, "check_quantisation", lambda *_: None)
    monkeypatch.setattr("torchao.quantization.quant_api._check_hardware_support", lambda _: None)
    folder = write_checkpoint(  # sides of whole 16s, as float8 asks
        tmp_path, recipe=RECIPE, heads=2, head_dim=32, text_width=32
    )
    family = load_family(folder, quantisation="float8", dtype="bfloat16")
    sizes = (Size(64, 48), Size(32, 96), Size(16, 16))
    together = [opened(family, seed, size=size) for seed, size in enumerate(sizes)]
    alone = [opened(family, seed, size=size) for seed, size in enumerate(sizes)]

    family.step(together)
    for session in alone:
        family.step([session])

    assert sum(is_quantised(family._model)) > 10
    assert all(
        torch.equal(one.latents, other.latents) for one, other in zip(together, alone, strict=True)
    )
    assert 0 < error(moved(family), moved(load_family(folder, dtype="bfloat16"))) < 0.1


@needs_torchao
def test_loading_does_not_warn_of_a_precision_that_works(weights, caplog):
    with caplog.at_level(logging.WARNING):
        load_family(weights, quantisation="int8")

    assert "float32" not in caplog.text


@needs_torchao
def test_pipelines_driven_whole_are_rounded_too(tmp_path, monkeypatch):
    monkeypatch.setitem(WHOLE, "Flux2KleinPipeline", 3)
    folder = write_flux2_checkpoint(tmp_path, recipe={**RECIPE, "steps": 1})

    family = load_family(folder, quantisation="int8")

    assert all(is_quantised(family._pipeline.transformer.transformer_blocks))
    assert any(is_quantised(family._pipeline.text_encoder))
    session = opened(family)
    family.step([session])
    picture = family.close(session)
    assert (picture.width, picture.height) == (64, 48)
