"""FLUX.2 klein: up to four references and an instruction in, an edited picture out.

Reference code: black-forest-labs/flux2 and diffusers' `Flux2KleinPipeline`. Distilled weights take
no guidance; base weights are guided by a second request without a prompt, packed into the same
pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from retouch.domain.edit import Edit, Size
from retouch.domain.errors import InvalidEdit, Violation
from retouch.domain.geometry import target_size
from retouch.domain.picture import Picture
from retouch.engine.families import DType, Options, WeightsError, latents_flux2, pixels, read_json
from retouch.engine.families.bounds import reference_violations, violations
from retouch.engine.families.checkpoint import Placement
from retouch.engine.families.checkpoint_flux2 import Parts, read_flux2_parts
from retouch.engine.families.device import check_device
from retouch.engine.families.flux import FluxFamily
from retouch.engine.families.footprint import with_footprint
from retouch.engine.families.packed import Request
from retouch.engine.families.packed_flux2 import BLOCKS, MODULATIONS, modulations_at, prepare
from retouch.engine.families.positions import grid, planes, tokens
from retouch.engine.families.recipe import Recipe, read_recipe
from retouch.engine.families.reference import capped_size
from retouch.engine.families.schedule import fitted_mu, shifted_sigmas
from retouch.engine.families.session import Session
from retouch.engine.families.text_flux2 import TextEncoder
from retouch.ports import Plan

MAX_REFERENCES = 4

DISTILLED: Mapping[str, Any] = {"steps": 4, "guidance": None, "reference_layout": "index"}
BASE: Mapping[str, Any] = {"steps": 50, "guidance": 4.0, "reference_layout": "index"}
"""How the published weights are used (black-forest-labs/flux2, README)."""

WHY_EXACT = "distilled weights have no fast mode: their few steps are each too unlike the last"


class Flux2Family(FluxFamily):
    """`retouch.ports.Family` over a FLUX.2 klein checkpoint."""

    def __init__(
        self,
        parts: Parts,
        recipe: Recipe,
        options: Options,
        *,
        device: str,
        takes_guidance: bool,
    ) -> None:
        super().__init__(
            parts,
            recipe,
            options,
            device=device,
            blocks=BLOCKS,
            loader="Flux2LoraLoaderMixin",
            is_ever_fast=takes_guidance,
        )
        self._text = TextEncoder(
            parts.qwen, parts.tokenizer, recipe.max_sequence_length, self._device
        )
        self._takes_guidance = takes_guidance

    @classmethod
    def load(
        cls, folder: Path, *, name: str, device: str, dtype: DType, options: Options
    ) -> "Flux2Family":
        """From a folder in diffusers' layout, LoRAs from another; raises WeightsError."""
        check_device(device)
        index = read_json(folder / "model_index.json")
        is_distilled = bool(index.get("is_distilled", False))
        recipe = read_recipe(folder, name, DISTILLED if is_distilled else BASE)
        if recipe.guidance is None and not is_distilled:
            raise WeightsError(f"{folder / 'retouch.json'}: guidance is null, but {name} needs one")
        placement = Placement.of(device, dtype, options)
        parts = read_flux2_parts(folder, index, placement, transformer=options.transformer)
        return cls(parts, recipe, options, device=device, takes_guidance=not is_distilled)

    def plan(self, edit: Edit, images: Sequence[Size], seed: int) -> Plan:
        """Sizes, steps, seed and tokens for one picture; raises InvalidEdit when out of bounds.

        Without a size or a shape in the edit, the picture is as large as its first reference.
        """
        self._check(edit, images)
        recipe = self.recipe
        references = tuple(capped_size(image, recipe.area) for image in images)
        if edit.size is None and edit.aspect_ratio is None and references:
            size = references[0]
        else:
            size = target_size(edit, None, recipe.area)
        guidance = recipe.guidance if edit.guidance is None else edit.guidance
        if not self._takes_guidance:
            guidance = None
        requests = 2 if _is_guided(guidance) else 1
        rows = sum(map(tokens, (size, *references)))
        plan = Plan(
            size=size,
            references=references,
            steps=recipe.steps if edit.steps is None else edit.steps,
            guidance=guidance,
            seed=seed,
            tokens=requests * (recipe.max_sequence_length + rows),
        )
        plan = with_footprint(plan, self._model, self._parts.vae, MODULATIONS)
        if edit.mode != "fast":
            return plan
        if not self._takes_guidance:
            return replace(plan, notes=(WHY_EXACT,))
        return self._fast(plan, requests)

    def cost(self, plan: Plan) -> float:
        """TFLOP of one step: linears grow with the tokens, attention with their square."""
        config = self._model.config
        width = config.num_attention_heads * config.attention_head_dim
        layers = config.num_layers + config.num_single_layers
        passes = 2 if _is_guided(plan.guidance) else 1
        rows = plan.tokens // passes
        linear = 2 * (4 + 3 * config.mlp_ratio) * width**2 * rows
        return float(passes * layers * (linear + 4 * width * rows**2) / 1e12)

    def _check(self, edit: Edit, images: Sequence[Size]) -> None:
        layout = edit.reference_layout or self.recipe.reference_layout
        broken = [*violations(edit, len(images), most=MAX_REFERENCES)]
        broken += [*reference_violations(images), *self._shelf.violations(edit.loras)]
        if layout != "index":
            text = f"is {layout!r}, which these weights do not know; use 'index'"
            broken.append(Violation("reference_layout", "unsupported", text))
        if broken:
            raise InvalidEdit(tuple(broken))

    # -- what a session is made of ---------------------------------------------------------------

    def _sigmas(self, plan: Plan) -> Tensor:
        mu = fitted_mu(tokens(plan.size), plan.steps)
        return torch.from_numpy(shifted_sigmas(plan.steps, mu, self._parts.shift))

    def _requests(
        self, plan: Plan, edit: Edit, references: Tensor, timesteps: Tensor
    ) -> tuple[Request, ...]:
        ids = planes(
            self.recipe.max_sequence_length,
            grid(plan.size),
            [grid(size) for size in plan.references],
        ).to(self._device)
        modulations = modulations_at(self._model, timesteps)
        texts = [self._encoded(prompt)[0].to(self._dtype) for prompt in self._prompts(plan, edit)]
        return tuple(prepare(self._model, text, references, ids, modulations) for text in texts)

    def _prompts(self, plan: Plan, edit: Edit) -> tuple[str, ...]:
        return (edit.prompt, "") if _is_guided(plan.guidance) else (edit.prompt,)

    def _noise(self, plan: Plan) -> Tensor:
        shape = (1, self._model.config.in_channels, *grid(plan.size))
        generator = torch.Generator("cpu").manual_seed(plan.seed)
        return latents_flux2.pack(torch.randn(shape, generator=generator, dtype=torch.float32))

    def _encode(self, prompt: str) -> tuple[Tensor, ...]:
        return (self._text.encode(prompt),)

    def _latents(self, image: Picture, size: Size) -> tuple[Tensor, ...]:
        if image.mask is None:
            fitted = pixels.cut(pixels.capped(image, self.recipe.area), size)
        else:
            fitted = pixels.stretch(image, size)
        tensor = pixels.to_tensor(fitted).to(self._device, self._dtype)
        return (latents_flux2.encode(self._parts.vae, tensor),)

    def _decoded(self, session: Session, latents: Tensor) -> Picture:
        return pixels.to_picture(latents_flux2.decode(self._parts.vae, latents, session.grid))


def _is_guided(guidance: float | None) -> bool:
    """Whether a picture needs the pass without a prompt; up to 1 it would change nothing."""
    return guidance is not None and guidance > 1
