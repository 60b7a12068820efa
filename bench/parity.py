"""How near our numbers are to diffusers' own, and packed requests to the same requests alone.

Tiny random weights of the real classes; no download, no accelerator. Needs the `engine` extra.
The pipeline rows compare final latents given the same noise. FLUX.1's pipeline takes one picture;
for more, `model` rows drive its own transformer, encoders and scheduler with our positions. The
packed rows compare one step in company with the same step alone. All state the largest absolute
difference.
"""

import argparse
import logging
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers import Flux2KleinPipeline, FluxKontextInpaintPipeline, FluxKontextPipeline
from diffusers.pipelines.flux.pipeline_flux_kontext import calculate_shift
from PIL import Image
from shared.aims import Aim, tell

from retouch.domain.edit import Edit, MaskImage, Size, UrlImage
from retouch.domain.geometry import preferred_size
from retouch.domain.picture import Mask, Picture
from retouch.engine.families import latents_flux2, load_family
from retouch.engine.families.flux import FluxFamily
from retouch.engine.families.pixels import stretch
from retouch.engine.families.positions import position_ids
from retouch.engine.families.tiny import write_checkpoint
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint

TEXT_TOKENS = 32
DTYPES = ("float32", "bfloat16")
AIMS = (
    Aim("*_float32_against_pipeline_max_abs", "<=", 1e-5),
    Aim("*_float32_against_model_max_abs", "<=", 1e-5),
    Aim("*_bfloat16_against_alone_max_abs", "<=", 0),
)


def main() -> None:
    """Print the table, then the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, under a minute")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)  # tiny tensors lose to threads, and a second core may be busy
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    side, steps, heads = (64, 3, 2) if quick else (192, 6, 8)
    started = time.perf_counter()

    figures: dict[str, Any] = {"quick": quick, "torch": torch.__version__}
    print(f"{'family':<7} {'against':<10} {'precision':<10} {'what':<46} difference")
    with tempfile.TemporaryDirectory() as folder:
        recipe = {"max_sequence_length": TEXT_TOKENS, "area": side * side, "steps": steps}
        for guided in (True, False):
            weights = write_checkpoint(
                Path(folder) / f"flux1-{guided}", guidance_embeds=guided, recipe=recipe, heads=heads
            )
            embeds = "with" if guided else "without"
            for dtype in DTYPES:
                for references, size, value in pipeline_rows(weights, dtype, side):
                    what = f"{references} references, {size}, {embeds} guidance"
                    report(figures, "flux1", "pipeline", dtype, what, value)
                for what, value in (
                    masked_rows(weights, side) if guided and dtype == "float32" else ()
                ):
                    report(figures, "flux1", "pipeline", dtype, f"{what}, {embeds} guidance", value)
                for references, size, value in model_rows(weights, dtype, side):
                    what = f"{references} references, {size}, {embeds} guidance"
                    report(figures, "flux1", "model", dtype, what, value)
        for dtype in DTYPES:
            for count, value in packed_rows(loaded(weights, dtype), side):
                report(figures, "flux1", "alone", dtype, f"{count} requests in one pass", value)
        for distilled in (False, True):
            weights = write_flux2_checkpoint(
                Path(folder) / f"flux2-{distilled}",
                is_distilled=distilled,
                recipe=recipe,
                heads=heads,
            )
            kind = "distilled" if distilled else "guided"
            for dtype in DTYPES:
                for references, size, value in flux2_pipeline_rows(weights, dtype, side):
                    what = f"{references} references, {size}, {kind}"
                    report(figures, "flux2", "pipeline", dtype, what, value)
        for dtype in DTYPES:
            for count, value in packed_rows(loaded(weights, dtype), side):
                report(figures, "flux2", "alone", dtype, f"{count} requests in one pass", value)

    figures["seconds"] = round(time.perf_counter() - started, 1)
    tell(figures, AIMS)


def report(
    figures: dict[str, Any], family: str, against: str, dtype: str, what: str, value: float
) -> None:
    """A line of the table; the largest of its kind becomes a figure."""
    print(f"{family:<7} {against:<10} {dtype:<10} {what:<46} {value:.2e}")
    key = f"{family}_{dtype}_against_{against}_max_abs"
    figures[key] = max(value, figures.get(key, 0.0))


def pipeline_rows(weights: Path, dtype: str, side: int) -> Iterator[tuple[int, str, float]]:
    """Our whole loop against FluxKontextPipeline's: references, size, difference."""
    family = loaded(weights, dtype)
    pipeline = FluxKontextPipeline.from_pretrained(weights, dtype=getattr(torch, dtype))
    pipeline.set_progress_bar_config(disable=True)
    for references, image in ((0, None), (1, noise(side, side))):
        for size in shapes(side)[:2]:
            edit = Edit(prompt="make it 7 times as red", seed=3, size=size, guidance=3.0)
            session = opened(family, edit, [] if image is None else [image])
            start = session.latents
            for _ in range(session.plan.steps):
                family.step([session])
            theirs = pipeline(
                prompt=edit.prompt,
                image=image and Image.frombytes("RGB", (side, side), image.data),
                height=size.height,
                width=size.width,
                max_area=size.width * size.height,
                num_inference_steps=session.plan.steps,
                guidance_scale=edit.guidance,
                max_sequence_length=TEXT_TOKENS,
                latents=start[None],
                output_type="latent",
                _auto_resize=False,
            ).images[0]
            yield references, f"{size.width}x{size.height}", difference(session.latents, theirs)


def masked_rows(weights: Path, side: int) -> Iterator[tuple[str, float]]:
    """Our masked loop against FluxKontextInpaintPipeline's in float32: what, difference.

    In other precisions it draws its noise in them, and is not to be given any at some strengths.
    """
    family = loaded(weights)
    pipeline = FluxKontextInpaintPipeline.from_pretrained(weights)
    pipeline.set_progress_bar_config(disable=True)
    tall = preferred_size(Size(2, 3), side * side)  # which neither of us resizes
    picture, other = noise(side, side), noise(tall.width, tall.height)
    drawn = Image.new("L", (side, side))
    drawn.paste(255, (8, 24, side // 2, side - 8))  # of whole latents
    masked = replace(picture, mask=Mask(side, side, drawn.tobytes()))
    for strength, reference in ((1.0, None), (0.5, None), (0.88, other)):
        said = MaskImage(UrlImage(""), "white", strength=strength, hides=reference is not None)
        edit = Edit(prompt="make it 7 times as red", seed=3, guidance=3.0, mask=said)
        session = opened(family, edit, [masked] if reference is None else [masked, reference])
        for _ in range(session.plan.steps):
            family.step([session])
        theirs = pipeline(
            prompt=edit.prompt,
            image=as_image(picture),
            image_reference=reference and as_image(reference),
            mask_image=drawn,
            strength=strength,
            height=side,
            width=side,
            max_area=side * side,
            num_inference_steps=session.plan.skipped + session.plan.steps,
            guidance_scale=edit.guidance,
            max_sequence_length=TEXT_TOKENS,
            output_type="latent",
            _auto_resize=False,
            generator=torch.Generator("cpu").manual_seed(3),
        ).images[0]
        beside = "" if reference is None else ", a reference beside"
        yield f"masked, strength {strength}{beside}", difference(session.latents, theirs)


def model_rows(weights: Path, dtype: str, side: int) -> Iterator[tuple[int, str, float]]:
    """Our whole loop with 2 and 3 references against the pipeline's parts put together by hand."""
    family = loaded(weights, dtype)
    pipeline = FluxKontextPipeline.from_pretrained(weights, dtype=getattr(torch, dtype))
    pictures = [noise(side, side), noise(side // 2, side), noise(side, side // 2)]
    for count in (2, 3):
        edit = Edit(prompt="make it 7 times as red", seed=3, size=Size(side, side), guidance=3.0)
        session = opened(family, edit, pictures[:count])
        start, plan = session.latents, session.plan
        for _ in range(plan.steps):
            family.step([session])
        fitted = [
            stretch(picture, size) for picture, size in zip(pictures, plan.references, strict=False)
        ]
        value = difference(session.latents, composed(pipeline, edit, plan.steps, start, fitted))
        yield count, f"{side}x{side}", value


@torch.inference_mode()
def composed(
    pipeline: Any, edit: Edit, steps: int, latents: torch.Tensor, pictures: list[Picture]
) -> torch.Tensor:
    """Final latents of several references by the stock transformer, encoders and scheduler."""
    model, count = pipeline.transformer, len(latents)
    text, pooled, _ = pipeline.encode_prompt(
        edit.prompt, None, max_sequence_length=TEXT_TOKENS, device=torch.device("cpu")
    )
    shown, grids = [], []
    for picture in pictures:
        image = Image.frombytes("RGB", (picture.width, picture.height), picture.data)
        pixels = pipeline.image_processor.preprocess(image, picture.height, picture.width)
        latent = pipeline._encode_vae_image(pixels.to(model.dtype), generator=None)
        shown.append(pipeline._pack_latents(latent, *latent.shape))
        grids.append((picture.height // 16, picture.width // 16))
    size = cast("Size", edit.size)
    ids = position_ids(
        TEXT_TOKENS,
        (size.height // 16, size.width // 16),
        grids,
        layout="offset",
        origin="corner",
    )
    config = pipeline.scheduler.config
    mu = calculate_shift(
        count, config.base_image_seq_len, config.max_image_seq_len, config.base_shift,
        config.max_shift,
    )  # fmt: skip
    pipeline.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    guidance = (
        torch.full([1], cast("float", edit.guidance)) if model.config.guidance_embeds else None
    )
    latents = latents[None]
    for timestep in pipeline.scheduler.timesteps:
        velocity = model(
            hidden_states=torch.cat([latents, *shown], dim=1),
            timestep=timestep.expand(1).to(latents.dtype) / 1000,
            guidance=guidance,
            pooled_projections=pooled,
            encoder_hidden_states=text,
            txt_ids=ids[:TEXT_TOKENS],
            img_ids=ids[TEXT_TOKENS:],
        ).sample[:, :count]
        latents = pipeline.scheduler.step(velocity, timestep, latents, return_dict=False)[0]
    return latents[0]


def flux2_pipeline_rows(weights: Path, dtype: str, side: int) -> Iterator[tuple[int, str, float]]:
    """Our whole loop against Flux2KleinPipeline's, 0 to 3 references."""
    family = loaded(weights, dtype)
    pipeline = Flux2KleinPipeline.from_pretrained(weights, dtype=getattr(torch, dtype))
    pipeline.set_progress_bar_config(disable=True)
    for references in range(4):
        images = [noise(side, side)] * references
        for size in shapes(side)[:2]:
            edit = Edit(prompt="make it 7 times as red", seed=3, size=size, guidance=3.0)
            session = opened(family, edit, images)
            start = session.latents.view(size.height // 16, size.width // 16, -1)
            for _ in range(session.plan.steps):
                family.step([session])
            theirs = pipeline(
                prompt=edit.prompt,
                image=[Image.frombytes("RGB", (side, side), each.data) for each in images] or None,
                height=size.height,
                width=size.width,
                num_inference_steps=session.plan.steps,
                guidance_scale=edit.guidance,
                max_sequence_length=TEXT_TOKENS,
                latents=start.permute(2, 0, 1)[None],
                output_type="latent",
            ).images
            ours = latents_flux2.unpack(pipeline.vae, session.latents, session.grid)
            yield references, f"{size.width}x{size.height}", difference(ours, theirs)


def packed_rows(family: FluxFamily, side: int) -> Iterator[tuple[int, float]]:
    """A step of requests in company against each alone: how many, difference."""
    for count in (2, 4, 8):
        together: list[Any] = []
        alone: list[Any] = []
        for number in range(count):
            size = shapes(side)[number % 4]
            edit = Edit(prompt="red " * (number + 1), size=size, guidance=1.0 + number)
            images = [noise(side, side), noise(side, 2 * side)][: number % 3]
            for sessions in (together, alone):
                session = opened(family, edit, images)
                for _ in range(number % 3):
                    family.step([session])
                sessions.append(session)
        family.step(together)
        for session in alone:
            family.step([session])
        pairs = zip(together, alone, strict=True)
        yield count, max(difference(one.latents, other.latents) for one, other in pairs)


def shapes(side: int) -> tuple[Size, ...]:
    """Square, wide, tall, narrow; sides multiples of 16."""
    half = side // 32 * 16
    return Size(side, side), Size(side + half, half), Size(half, side), Size(16, side)


def loaded(weights: Path, dtype: str = "float32") -> FluxFamily:
    """The family of weights that are packed."""
    return cast("FluxFamily", load_family(weights, dtype=dtype))


def opened(family: FluxFamily, edit: Edit, images: list[Picture]) -> Any:
    """A session of an edit with these references."""
    sizes = [Size(image.width, image.height) for image in images]
    return family.open(family.plan(edit, sizes, edit.seed or 0), edit, images)


def noise(width: int, height: int) -> Picture:
    """A picture of random pixels, the same for the same width."""
    return Picture(width, height, random.Random(width).randbytes(width * height * 3))  # noqa: S311  no secret


def as_image(picture: Picture) -> Image.Image:
    """For diffusers."""
    return Image.frombytes("RGB", (picture.width, picture.height), picture.data)


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest absolute difference."""
    return (one.float() - other.float()).abs().max().item()


if __name__ == "__main__":
    main()
