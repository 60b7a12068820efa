"""LoRAs by PEFT: as diffusers applies them, per request, from the operator's folder alone."""

import random
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from retouch.domain.edit import Edit, Lora, Size
from retouch.domain.errors import EngineFailed, InvalidEdit
from retouch.domain.picture import Picture
from retouch.engine.families import latents_flux2, load_family, lora
from retouch.engine.families.positions import grid
from retouch.engine.families.tiny import write_checkpoint
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint

RECIPE = {"max_sequence_length": 40, "area": 64 * 64, "steps": 2}
SIZE = Size(64, 48)
PHOTO = Picture(64, 64, random.Random(0).randbytes(64 * 64 * 3))  # noqa: S311  no secret
TARGETS = {
    "flux1": (
        "x_embedder",
        "transformer_blocks.0.attn.to_q",
        "transformer_blocks.1.ff.net.2",
        "transformer_blocks.0.norm1.linear",
        "single_transformer_blocks.1.attn.to_v",
        "single_transformer_blocks.0.proj_out",
    ),
    "flux2": (
        "context_embedder",
        "transformer_blocks.0.attn.add_q_proj",
        "double_stream_modulation_img.linear",
        "single_transformer_blocks.1.attn.to_qkv_mlp_proj",
        "single_transformer_blocks.0.attn.to_out",
    ),
}


def write_lora(path: Any, model: Any, targets: Any, *, rank: int, seed: int) -> None:
    """Random factors for some linears of a model, in diffusers' own format."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for target in targets:
        linear = model.get_submodule(target)
        down = torch.randn(rank, linear.in_features, generator=generator) * 0.3
        state[f"transformer.{target}.lora_A.weight"] = down
        up = torch.randn(linear.out_features, rank, generator=generator) * 0.3
        state[f"transformer.{target}.lora_B.weight"] = up
    save_file(state, path)


@pytest.fixture(scope="module", params=["flux1", "flux2"])
def shop(request, tmp_path_factory):
    """A checkpoint of a family, a folder with two LoRAs for it, and its pipeline's class."""
    from diffusers import Flux2KleinPipeline, FluxKontextPipeline

    folder, loras = tmp_path_factory.mktemp("weights"), tmp_path_factory.mktemp("loras")
    if request.param == "flux1":
        write_checkpoint(folder, recipe=RECIPE)
        pipeline = FluxKontextPipeline
    else:
        write_flux2_checkpoint(folder, recipe=RECIPE)
        pipeline = Flux2KleinPipeline
    model = load_family(folder)._model
    targets = TARGETS[request.param]
    write_lora(loras / "one.safetensors", model, targets, rank=2, seed=1)
    write_lora(loras / "two.v2.safetensors", model, targets[::2], rank=3, seed=2)
    return folder, loras, pipeline


@pytest.fixture(scope="module")
def family(shop):
    folder, loras, _ = shop
    return load_family(folder, loras=loras)


@pytest.fixture(scope="module")
def bare(shop):
    """The same family without a folder of LoRAs."""
    return load_family(shop[0])


BAD = {
    "wrong-shape": {
        "transformer.x_embedder.lora_A.weight": torch.ones(2, 7),
        "transformer.x_embedder.lora_B.weight": torch.ones(9, 2),
    },
    "text-encoder": {"text_encoder.q.lora_A.weight": torch.ones(2, 2)},
    "empty": {},
}
"""What files hold that are safetensors and yet fit no model."""


@pytest.fixture(scope="module")
def among_bad_ones(shop, tmp_path_factory):
    """The family whose folder has one good LoRA beside those that do not fit."""
    weights, good, _ = shop
    folder = tmp_path_factory.mktemp("bad")
    (folder / "good.safetensors").write_bytes((good / "one.safetensors").read_bytes())
    (folder / "not-safetensors.safetensors").write_bytes(b"x" * 100)
    for name, state in BAD.items():
        save_file(state, folder / f"{name}.safetensors")
    return load_family(weights, loras=folder)


def opened(family, *loras, seed=3):
    edit = Edit(prompt="red", seed=seed, size=SIZE, guidance=3.0, loras=loras)
    return family.open(family.plan(edit, [Size(64, 64)], seed), edit, [PHOTO])


def finished(family, *loras):
    session = opened(family, *loras)
    for _ in range(session.plan.steps):
        family.step([session])
    return session.latents


def theirs(shop, *loras):
    folder, path, pipeline_class = shop
    pipeline = pipeline_class.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    for number, each in enumerate(loras):
        pipeline.load_lora_weights(
            path, weight_name=f"{each.name}.safetensors", adapter_name=f"adapter{number}"
        )
    if loras:
        names = [f"adapter{number}" for number in range(len(loras))]
        pipeline.set_adapters(names, [each.scale for each in loras])
    own = {"max_area": SIZE.width * SIZE.height, "_auto_resize": False}
    return pipeline(
        prompt="red",
        image=Image.frombytes("RGB", (64, 64), PHOTO.data),
        height=SIZE.height,
        width=SIZE.width,
        num_inference_steps=RECIPE["steps"],
        guidance_scale=3.0,
        max_sequence_length=RECIPE["max_sequence_length"],
        generator=torch.Generator("cpu").manual_seed(3),
        output_type="latent",
        **(own if "Kontext" in pipeline_class.__name__ else {}),
    ).images


@pytest.mark.filterwarnings("ignore:Already found a .peft_config.")  # the pipeline's own
@pytest.mark.parametrize(
    "loras",
    [(Lora("one"),), (Lora("one", 0.5), Lora("two.v2", -1.5)), (Lora("two.v2", 2.0),)],
    ids=["one", "two with scales", "another"],
)
def test_the_whole_loop_equals_the_pipelines(shop, family, loras):
    latents = finished(family, *loras)

    wanted = theirs(shop, *loras)
    if wanted.ndim == 4:  # FLUX.2's pipeline unpacks them
        latents = latents_flux2.unpack(family._parts.vae, latents, grid(SIZE))
    assert (latents - wanted).abs().max().item() <= 1e-5


def test_requests_with_different_loras_share_the_engine_and_come_out_as_alone(family):
    sets = [(), (Lora("one"),), (Lora("one", 0.5),), (Lora("two.v2"), Lora("one")), ()]
    together = [opened(family, *loras) for loras in sets]
    for _ in range(2):
        family.step(together)

    for session, loras in zip(together, sets, strict=True):
        alone = finished(family, *loras)
        torch.testing.assert_close(session.latents, alone, rtol=1e-6, atol=2e-6)
    assert not torch.allclose(together[0].latents, together[1].latents, atol=1e-3)
    assert not torch.allclose(together[1].latents, together[2].latents, atol=1e-3)


def test_without_loras_the_model_is_untouched_by_those_it_wore(family, bare):
    finished(family, Lora("one"))

    assert torch.equal(finished(family), finished(bare))


def test_loras_beyond_the_bound_make_room_and_come_back(shop, monkeypatch):
    monkeypatch.setattr(lora, "MAX_LOADED", 1)
    family = load_family(shop[0], loras=shop[1])
    first = finished(family, Lora("one"))
    finished(family, Lora("two.v2"))

    assert torch.equal(finished(family, Lora("one")), first)
    assert list(family._shelf._loaded) == ["one"]


@pytest.mark.parametrize(
    ("loras", "words"),
    [
        ([Lora("three")], r"loras\.0\.name: is 'three', .* it has one, two\.v2"),
        ([Lora("one", 9.0)], r"loras\.0\.scale: is 9\.0, must be between -4\.0 and 4\.0"),
        ([Lora("one", float("nan"))], r"loras\.0\.scale: is nan"),
        ([Lora("one"), Lora("one.safetensors")], "loras: names a LoRA twice"),
        ([Lora("one")] * 5, "loras: has 5 LoRAs, must have at most 4"),
    ],
)
def test_what_cannot_be_worn_is_refused_by_name(family, loras, words):
    with pytest.raises(InvalidEdit, match=words):
        family.plan(Edit(prompt="red", loras=tuple(loras)), [], 0)


def test_without_a_folder_there_are_none(bare):
    with pytest.raises(InvalidEdit, match="it has none"):
        bare.plan(Edit(prompt="red", loras=(Lora("one"),)), [], 0)


@pytest.mark.parametrize("name", ["../one", "a/b", "https://x.example/a.safetensors", "", ".x"])
def test_a_path_or_an_address_is_no_name(name):
    with pytest.raises(ValueError, match="must be the name of a LoRA"):
        Lora(name)


@pytest.mark.parametrize("name", ["not-safetensors", "wrong-shape", "text-encoder", "empty"])
def test_a_file_that_does_not_fit_breaks_its_own_request_only(family, bare, among_bad_ones, name):
    with pytest.raises(EngineFailed, match=f"LoRA '{name}'"):
        opened(among_bad_ones, Lora(name))

    assert torch.equal(finished(among_bad_ones), finished(bare))
    assert torch.equal(finished(among_bad_ones, Lora("good")), finished(family, Lora("one")))
