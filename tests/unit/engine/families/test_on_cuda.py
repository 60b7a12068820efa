"""The families as they run on a CUDA device, but for the numbers.

What these tests keep: nothing on the device meets anything in main memory, nothing grows out of the
model's precision on the way, and the host waits for the device only where it is meant to.
"""

from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from diffusers.models.transformers.transformer_flux2 import Flux2Transformer2DModel

from retouch.domain.edit import Edit, InlineImage, MaskImage, Size
from retouch.domain.picture import Mask, Picture
from retouch.engine.families import attention, load_family, packed_flux1, packed_flux2, pixels
from retouch.engine.families.footprint import DECODED_LAYERS, PASS_WIDTHS
from retouch.engine.families.packed import Modulations, Request, velocity
from retouch.engine.families.tiny import write_checkpoint
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint
from tests.unit.engine.families.hollow import DEVICE, HollowCuda, hollow_cuda

RECIPE = {"max_sequence_length": 16, "area": 64 * 64, "steps": 8}
PHOTO = Picture(64, 64, bytes(64 * 64 * 3))
MASKED = Picture(64, 64, PHOTO.data, Mask(64, 64, bytes(64 * 64)))
KINDS = ("flux1", "flux2")
THERE: Any = {"dtype": torch.bfloat16, "device": DEVICE}


@pytest.fixture(scope="module")
def cuda() -> Iterator[HollowCuda]:
    with pytest.MonkeyPatch.context() as patch, hollow_cuda(patch) as device:
        patch.setattr(attention, "stock_from", lambda *_: inf)
        yield device


@pytest.fixture(scope="module")
def families(cuda: HollowCuda, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """One of each kind on the device."""
    found = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind)
        if kind == "flux1":
            write_checkpoint(folder, recipe=RECIPE)
        else:
            write_flux2_checkpoint(folder, recipe=RECIPE, is_distilled=False)
        found[kind] = load_family(folder, device=DEVICE, dtype="bfloat16")
    return found


def opened(family: Any, edit: Edit, pictures: int | list[Picture] = 1) -> Any:
    given = [PHOTO] * pictures if isinstance(pictures, int) else pictures
    sizes = [Size(each.width, each.height) for each in given]
    return family.open(family.plan(edit, sizes, 1), edit, given)


def assert_there(session: Any) -> None:
    assert session.latents.device == torch.device(DEVICE)
    assert session.latents.dtype == torch.bfloat16


@pytest.mark.parametrize("kind", KINDS)
def test_steps_of_any_pack_wait_for_nothing(kind: str, cuda: HollowCuda, families: Any) -> None:
    family = families[kind]
    small = Edit(prompt="red", seed=1, size=Size(64, 48))
    sessions = [opened(family, small, 4 if kind == "flux2" else 1), opened(family, small, 0)]
    cuda.forget()

    family.step(sessions)

    assert cuda.waits == []
    assert cuda.products == {torch.bfloat16}
    for session in sessions:
        assert_there(session)


@pytest.mark.parametrize("kind", KINDS)
def test_opening_waits_for_nothing_and_the_picture_comes_back_once(
    kind: str, cuda: HollowCuda, families: Any
) -> None:
    family = families[kind]
    cuda.forget()

    session = opened(family, Edit(prompt=f"new {kind}", seed=1, steps=1))

    assert cuda.waits == []
    family.step([session])
    picture = family.close(session)
    assert (picture.width, picture.height) == (64, 64)
    assert cuda.waits == ["number", "copy"]


@pytest.mark.parametrize("kind", KINDS)
def test_fast_steps_wait_for_what_decides_them_only(
    kind: str, cuda: HollowCuda, families: Any
) -> None:
    family = families[kind]
    session = opened(family, Edit(prompt="red", seed=1, mode="fast", size=Size(64, 64)))
    looks = 0
    for _ in range(8):
        cuda.forget()
        family.step([session])
        assert set(cuda.waits) <= {"number", "places"}
        assert cuda.waits.count("number") <= len(session.requests)
        looks += "places" in cuda.waits
        assert_there(session)

    assert looks == 2
    assert family.metrics(session)["regional_steps"] > 0


def test_a_masked_edit_stays_on_the_device(cuda: HollowCuda, families: Any) -> None:
    mask = MaskImage(InlineImage(b""), "transparent", strength=0.5)
    session = opened(families["flux1"], Edit(prompt="red", seed=1, mask=mask), [MASKED])
    cuda.forget()

    families["flux1"].step([session])

    assert_there(session)
    assert cuda.waits == []


@pytest.mark.parametrize("least", [0, 20, inf])
def test_attention_of_a_compiled_block_waits_for_nothing(
    least: float, cuda: HollowCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "stock_from", lambda *_: least)
    device = torch.device(DEVICE)
    for lengths in ([40], [16, 24]):
        rows = torch.empty(40, 2, 16, dtype=torch.bfloat16, device=device)
        spans = attention.Spans.of(lengths, device)
        cuda.forget()

        attended = attention.untraced(
            rows, rows, rows, spans.offsets, spans.offsets, spans.longest, spans.longest,
            spans.known, spans.known,
        )  # fmt: skip

        assert attended.shape == (40, 32)
        assert attended.is_contiguous()
        assert attended.dtype == torch.bfloat16
        assert cuda.waits == []


WIDTHS = {"FLUX.1 Kontext": 24, "FLUX.2 klein 4B": 24, "FLUX.2 klein 9B": 32}
"""Heads of 128 that the published transformers have."""


@pytest.mark.parametrize("name", WIDTHS)
def test_a_pass_of_a_published_width_fits_into_what_admission_counts(
    name: str, cuda: HollowCuda
) -> None:
    heads = WIDTHS[name]
    shape = {"attention_head_dim": 128, "num_attention_heads": heads, "joint_attention_dim": 64}
    if name.startswith("FLUX.1"):
        shape |= {"num_layers": 2, "num_single_layers": 2, "pooled_projection_dim": 16}
        kind, blocks = FluxTransformer2DModel, packed_flux1.BLOCKS
    else:
        shape |= {"num_layers": 2, "num_single_layers": 2, "timestep_guidance_channels": 16}
        kind, blocks = Flux2Transformer2DModel, packed_flux2.BLOCKS
    with torch.device("meta"):
        model = kind(**shape).to(torch.bfloat16).eval()
    model.to_empty(device=DEVICE)
    rows, width, text, target, references = 8704, 128 * heads, 512, 4096, 4096
    with torch.inference_mode():
        tables = [torch.empty(1, count * width, **THERE) for count in (6, 6, 3, 3, 2)]
        order = (0, 1, 0, 1, 2, 3, 4)
        request = Request(
            text=torch.empty(text, width, **THERE),
            references=torch.empty(references, width, **THERE),
            rope=torch.empty(rows, 64, 2, dtype=torch.float32, device=DEVICE),
            target_tokens=target,
            modulations=Modulations.of(tables, order),
        )
        latents = torch.empty(target, model.config.in_channels, **THERE)
        cuda.forget()

        velocity(model, blocks, [request], [latents], [0])

    assert cuda.peak_bytes <= PASS_WIDTHS * rows * width * 2


def test_decoding_a_megapixel_fits_too(cuda: HollowCuda) -> None:
    with torch.device("meta"):
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=16,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ).to(torch.bfloat16)
    vae.to_empty(device=DEVICE)
    with torch.inference_mode():
        latent = torch.empty(1, 16, 128, 128, **THERE)
        cuda.forget()

        pixels.decode(vae, latent)

    assert cuda.peak_bytes <= DECODED_LAYERS * 1024 * 1024 * 128 * 2


def test_weights_that_wait_meet_their_work_on_the_device(cuda: HollowCuda, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, recipe=RECIPE)
    cuda.forget()
    family = load_family(folder, device=DEVICE, dtype="bfloat16", offload="sequential")

    session = opened(family, Edit(prompt="red", seed=1, steps=1))
    family.step([session])

    assert cuda.waits == []
    assert_there(session)
    assert family.close(session).width == 64
