"""FLUX.1 Kontext: references and an instruction in, an edited picture out.

It owns the plan (sizes, steps, tokens), the sessions and the denoising step; the forward pass is
`packed`, conventions of a checkpoint are its `Recipe`. Reference code: black-forest-labs/flux
(sampling.py, cli_kontext.py) and diffusers' `FluxKontextPipeline`, which it equals number by number
given the same noise.

Noise is float32 from a CPU generator seeded with the plan's seed, then cast: a seed means the same
picture on every device and in every batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from retouch.domain.edit import Edit, Mode, ReferenceLayout, Size
from retouch.domain.errors import InvalidEdit
from retouch.domain.geometry import target_size
from retouch.domain.picture import Picture
from retouch.engine.families import DType, Options, WeightsError, pixels, schedule
from retouch.engine.families.aside import aside_bytes
from retouch.engine.families.blocks import compiles
from retouch.engine.families.bounds import violations
from retouch.engine.families.cache import TensorCache
from retouch.engine.families.checkpoint import Parts, Placement, read_parts
from retouch.engine.families.device import beside, check_device, finish, guarded
from retouch.engine.families.fast import Moved, fast_steps
from retouch.engine.families.footprint import with_footprint
from retouch.engine.families.lora import LoraShelf
from retouch.engine.families.packed import velocity
from retouch.engine.families.packed_flux1 import BLOCKS, modulations, prepare
from retouch.engine.families.positions import Grid, position_ids
from retouch.engine.families.recipe import Recipe, read_recipe
from retouch.engine.families.reference import reference_sizes, stitched_size
from retouch.engine.families.regional import why_whole
from retouch.engine.families.session import Session, euler
from retouch.engine.families.text import Text, TextEncoder
from retouch.ports import Plan

Fit = Callable[[Picture, Size], Picture]

TOKEN = 16
"""Pixels along a token's side: the codec shrinks by 8, packing by 2."""


class Flux1Family:
    """`retouch.ports.Family` over a FLUX.1 Kontext checkpoint."""

    def __init__(self, parts: Parts, recipe: Recipe, options: Options, *, device: str) -> None:
        self.name = recipe.name
        self.recipe = recipe
        self._parts = parts
        self._model = parts.transformer
        self._shelf = LoraShelf(self._model, "FluxLoraLoaderMixin", options.loras)
        self._device = torch.device(device)
        self._text = TextEncoder(
            parts.clip, parts.clip_tokenizer, parts.t5, parts.t5_tokenizer,
            recipe.max_sequence_length, self._device,
        )  # fmt: skip
        self._blocks = BLOCKS
        self._cache = TensorCache(options.cache_bytes)
        self._fast_tolerance = options.fast_tolerance
        self._fast_likeness = options.fast_likeness
        self._dtype: torch.dtype = self._model.dtype
        self._takes_guidance: bool = self._model.config.guidance_embeds

    @classmethod
    def load(
        cls, folder: Path, *, name: str, device: str, dtype: DType, options: Options
    ) -> "Flux1Family":
        """From a folder in diffusers' layout, LoRAs from another; raises WeightsError."""
        check_device(device)
        recipe = read_recipe(folder, name)
        placement = Placement.of(device, dtype, options)
        parts = read_parts(folder, placement, transformer=options.transformer)
        if recipe.guidance is None and parts.transformer.config.guidance_embeds:
            raise WeightsError(f"{folder / 'retouch.json'}: guidance is null, but {name} needs one")
        return cls(parts, recipe, options, device=device)

    def plan(self, edit: Edit, images: Sequence[Size], seed: int) -> Plan:
        """Sizes, steps, seed and tokens for one picture; raises InvalidEdit when out of bounds.

        What the edit leaves open is the recipe's; guidance is None for weights that take none.
        """
        broken = [*violations(edit, len(images)), *self._shelf.violations(edit.loras)]
        if broken:
            raise InvalidEdit(tuple(broken))
        recipe = self.recipe
        size = target_size(edit, images[0] if images else None, recipe.area)
        if self._stitches(edit, images):
            references: tuple[Size, ...] = (
                stitched_size(images, size, recipe.reference_fit, recipe.area),
            )
        else:
            references = reference_sizes(images, size, recipe.reference_fit, recipe.area)
        grids = [_grid(each) for each in (size, *references)]
        guidance = recipe.guidance if edit.guidance is None else edit.guidance
        plan = Plan(
            size=size,
            references=references,
            steps=recipe.steps if edit.steps is None else edit.steps,
            guidance=guidance if self._takes_guidance else None,
            seed=seed,
            mode=edit.mode if self._fast_tolerance or self._fast_likeness else "exact",
            tokens=recipe.max_sequence_length + sum(rows * columns for rows, columns in grids),
        )
        plan = with_footprint(plan, self._model, self._parts.vae, modulations(self._model))
        return self._with_regions(plan) if plan.mode == "fast" else plan

    def open(self, plan: Plan, edit: Edit, images: Sequence[Picture]) -> Session:
        """A session: text and references encoded, positions laid out, noise drawn."""
        with guarded():
            self._shelf.wear(edit.loras)
            text = self._encoded(edit.prompt)
            target, layout = _grid(plan.size), self._layout(edit)
            ids = position_ids(
                len(text.tokens),
                target,
                [_grid(size) for size in plan.references],
                layout="offset" if layout == "stitch" else layout,
                origin=self.recipe.position_origin,
            )
            sigmas = torch.from_numpy(
                schedule.sigmas(plan.steps, target[0] * target[1], self._parts.shift)
            )
            references = self._references(plan, self._stitched(plan, edit, images))
            request = prepare(
                self._model,
                text.tokens.to(self._dtype),
                text.pooled.to(self._dtype),
                references,
                ids.to(self._device),
                self._timesteps(sigmas),
                plan.guidance,
            )
            session = Session(plan, request, self._noise(plan), sigmas, target)
            if plan.mode == "fast" and not self._why_whole(plan):
                session.reference = references
            session.is_watched = edit.previews > 0
            session.loras = edit.loras
            finish(self._device)
            return session

    def warm(self, plan: Plan, edit: Edit, images: Sequence[Picture]) -> None:
        """Encode what `open` will want, if the cache is to keep it.

        For another thread: the transformer, and what it wears, is left alone.
        """
        with guarded(), beside(self._device):
            self._encoded(edit.prompt)
            self._references(plan, self._stitched(plan, edit, images))

    def compile(self) -> None:
        """From now on, exact steps by compiled blocks, where the compiler can."""
        self._blocks = BLOCKS.compiled()
        if not compiles(self):
            self._blocks = BLOCKS

    def step(self, sessions: Sequence[Session]) -> None:
        """One denoising step for each, in one forward pass. All or nothing."""
        with guarded():
            steps = self._passes(sessions)
            moved = [
                euler(
                    session.latents,
                    step.velocity,
                    session.sigmas[session.index : session.index + 2],
                )
                for session, step in zip(sessions, steps, strict=True)
            ]
            for session, step in zip(sessions, steps, strict=True):
                if session.is_watched:
                    session.estimate = session.heads_for(step.velocity)
            finish(self._device)
        for session, latents, step in zip(sessions, moved, steps, strict=True):
            session.latents = latents
            session.index += 1
            session.shortcuts = step.shortcuts

    def step_index(self, session: Session) -> int:
        """Steps a session has done."""
        return session.index

    def metrics(self, session: Session) -> dict[str, float]:
        """In fast mode, the steps that were cut short or went to a region, and what that left out:
        image rows, counted once a step."""
        if session.plan.mode != "fast":
            return {}
        shortcuts = session.shortcuts
        return {
            "reused_steps": float(shortcuts.reused),
            "regional_steps": float(shortcuts.regional),
            "skipped_rows": float(shortcuts.skipped_rows),
        }

    def preview(self, session: Session) -> Picture | None:
        """The estimate of the last step, x - sigma * velocity, decoded by the real codec."""
        with guarded():
            return None if session.estimate is None else self._decoded(session, session.estimate)

    def close(self, session: Session) -> Picture:
        """The finished picture, decoded."""
        with guarded():
            return self._decoded(session, session.latents)

    def close_beside(self, session: Session) -> Picture:
        """`close`, for another thread."""
        with beside(self._device):
            return self.close(session)

    def cost(self, plan: Plan) -> float:
        """TFLOP of one step: linears grow with the tokens, attention with their square."""
        config = self._model.config
        width = config.num_attention_heads * config.attention_head_dim
        layers = config.num_layers + config.num_single_layers
        linear, attention = 24 * width**2 * plan.tokens, 4 * width * plan.tokens**2
        return float(layers * (linear + attention) / 1e12)

    # -- what a session is made of ---------------------------------------------------------------

    def _layout(self, edit: Edit) -> ReferenceLayout:
        return edit.reference_layout or self.recipe.reference_layout

    def _stitches(self, edit: Edit, images: Sequence[object]) -> bool:
        return self._layout(edit) == "stitch" and len(images) > 1

    def _stitched(self, plan: Plan, edit: Edit, images: Sequence[Picture]) -> Sequence[Picture]:
        if not self._stitches(edit, images):
            return images
        return [pixels.stitch(images, plan.references[0])]

    def _why_whole(self, plan: Plan) -> str:
        """Why no step of a fast picture may leave out places; empty where some may."""
        if not self._fast_likeness:
            return "they are switched off"
        return why_whole(_grid(plan.size), [_grid(size) for size in plan.references], plan.steps)

    def _with_regions(self, plan: Plan) -> Plan:
        """A fast plan with the memory that leaving out places takes, or why it leaves out none."""
        why = self._why_whole(plan)
        if why:
            return replace(plan, notes=(f"No region-aware steps: {why}",))
        rows = sum(rows * columns for rows, columns in map(_grid, (plan.size, *plan.references)))
        return replace(plan, held_bytes=plan.held_bytes + aside_bytes(self._model, rows))

    def _passes(self, sessions: Sequence[Session]) -> list[Moved]:
        """Each session's step; one forward pass for each set of LoRAs and mode among them."""
        found: dict[int, Moved] = {}
        for places in self._shelf.turns([session.loras for session in sessions]):
            for mode in get_args(Mode):
                alike = [place for place in places if sessions[place].plan.mode == mode]
                if alike:
                    steps = self._pass(mode, [sessions[place] for place in alike])
                    found.update(zip(alike, steps, strict=True))
        return [found[place] for place in range(len(sessions))]

    def _pass(self, mode: Mode, sessions: Sequence[Session]) -> list[Moved]:
        if mode == "fast":
            return fast_steps(
                self._model, BLOCKS, sessions, self._fast_tolerance, self._fast_likeness
            )
        velocities = velocity(
            self._model,
            self._blocks,
            [session.request for session in sessions],
            [session.latents for session in sessions],
            [session.index for session in sessions],
        )
        return [Moved(each) for each in velocities]

    def _noise(self, plan: Plan) -> Tensor:
        """Packed noise, (target tokens, C)."""
        generator = torch.Generator("cpu").manual_seed(plan.seed)
        height, width = (2 * ceil(side / TOKEN) for side in (plan.size.height, plan.size.width))
        shape = (1, self._model.config.in_channels // 4, height, width)
        noise = torch.randn(shape, generator=generator, dtype=torch.float32)
        return pixels.pack(noise).to(self._device, self._dtype)

    def _references(self, plan: Plan, images: Sequence[Picture]) -> Tensor:
        """Packed latents of all references, one after the other: (reference tokens, C)."""
        fit = pixels.stretch if self.recipe.reference_fit == "own" else pixels.cover
        empty = torch.empty(0, self._model.config.in_channels)
        tokens = [empty.to(self._device, self._dtype)]
        for image, size in zip(images, plan.references, strict=True):
            key = (sha256(image.data).digest(), image.width, size)
            tokens += self._cache.of(key, partial(self._latents, fit, image, size))
        return torch.cat(tokens)

    def _latents(self, fit: Fit, image: Picture, size: Size) -> tuple[Tensor, ...]:
        """A reference's packed latents, (tokens, C)."""
        tensor = pixels.to_tensor(fit(image, size)).to(self._device, self._dtype)
        return (pixels.pack(pixels.encode(self._parts.vae, tensor)),)

    def _encoded(self, prompt: str) -> Text:
        def encode() -> tuple[Tensor, ...]:
            text = self._text.encode(prompt)
            return text.tokens, text.pooled

        return Text(*self._cache.of(sha256(prompt.encode()).digest(), encode))

    def _decoded(self, session: Session, latents: Tensor) -> Picture:
        latent = pixels.unpack(latents, *_grid(session.plan.size))
        return pixels.to_picture(pixels.decode(self._parts.vae, latent))

    def _timesteps(self, sigmas: Tensor) -> Tensor:
        """Noise levels (steps,) as the pipeline hands them over: t = 1000 sigma in the model's
        precision, divided by 1000 there."""
        now = sigmas[:-1] * self._parts.shift.num_train_timesteps
        return now.to(self._device, self._dtype) / 1000


def _grid(size: Size) -> Grid:
    return ceil(size.height / TOKEN), ceil(size.width / TOKEN)
