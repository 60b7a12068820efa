"""FLUX.1 Kontext: references and an instruction in, an edited picture out.

Conventions of a checkpoint are its `Recipe`. Reference code: black-forest-labs/flux (sampling.py,
cli_kontext.py) and diffusers' `FluxKontextPipeline`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from retouch.domain.edit import Edit, ReferenceLayout, Size
from retouch.domain.errors import InvalidEdit
from retouch.domain.geometry import target_size
from retouch.domain.picture import Picture
from retouch.engine.families import DType, Options, WeightsError, pixels, schedule
from retouch.engine.families.bounds import violations
from retouch.engine.families.checkpoint import Parts, Placement, read_parts
from retouch.engine.families.device import check_device
from retouch.engine.families.flux import FluxFamily
from retouch.engine.families.footprint import with_footprint
from retouch.engine.families.inpaint import Canvas, changeable, skipped_steps
from retouch.engine.families.packed import Request
from retouch.engine.families.packed_flux1 import BLOCKS, modulations, prepare
from retouch.engine.families.positions import grid, position_ids, tokens
from retouch.engine.families.recipe import Recipe, read_recipe
from retouch.engine.families.reference import reference_sizes, stitched_size
from retouch.engine.families.session import Session
from retouch.engine.families.text import Text, TextEncoder
from retouch.ports import Plan

T = TypeVar("T")


class Flux1Family(FluxFamily):
    """`retouch.ports.Family` over a FLUX.1 Kontext checkpoint."""

    def __init__(self, parts: Parts, recipe: Recipe, options: Options, *, device: str) -> None:
        super().__init__(
            parts, recipe, options, device=device, blocks=BLOCKS, loader="FluxLoraLoaderMixin"
        )
        self._text = TextEncoder(
            parts.clip, parts.clip_tokenizer, parts.t5, parts.t5_tokenizer,
            recipe.max_sequence_length, self._device,
        )  # fmt: skip
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
        recipe, shown = self.recipe, _shown(edit, images)
        size = target_size(edit, images[0] if images else None, recipe.area)
        if self._stitches(edit, shown):
            references: tuple[Size, ...] = (
                stitched_size(shown, size, recipe.reference_fit, recipe.area),
            )
        else:
            references = reference_sizes(shown, size, recipe.reference_fit, recipe.area)
        steps = recipe.steps if edit.steps is None else edit.steps
        skipped = 0 if edit.mask is None else skipped_steps(steps, edit.mask.strength)
        guidance = recipe.guidance if edit.guidance is None else edit.guidance
        plan = Plan(
            size=size,
            references=references,
            steps=steps - skipped,
            skipped=skipped,
            guidance=guidance if self._takes_guidance else None,
            seed=seed,
            tokens=recipe.max_sequence_length + sum(map(tokens, (size, *references))),
        )
        plan = with_footprint(plan, self._model, self._parts.vae, modulations(self._model))
        return self._fast(plan) if edit.mode == "fast" else plan

    def cost(self, plan: Plan) -> float:
        """TFLOP of one step: linears grow with the tokens, attention with their square."""
        config = self._model.config
        width = config.num_attention_heads * config.attention_head_dim
        layers = config.num_layers + config.num_single_layers
        linear, attention = 24 * width**2 * plan.tokens, 4 * width * plan.tokens**2
        return float(layers * (linear + attention) / 1e12)

    # -- what a session is made of ---------------------------------------------------------------

    def _sigmas(self, plan: Plan) -> Tensor:
        steps = plan.skipped + plan.steps
        sigmas = schedule.sigmas(steps, tokens(plan.size), self._parts.shift)
        return torch.from_numpy(sigmas[plan.skipped :])

    def _requests(
        self, plan: Plan, edit: Edit, references: Tensor, timesteps: Tensor
    ) -> tuple[Request, ...]:
        text, layout = Text(*self._encoded(edit.prompt)), self._layout(edit)
        ids = position_ids(
            len(text.tokens),
            grid(plan.size),
            [grid(size) for size in plan.references],
            layout="offset" if layout == "stitch" else layout,
            origin=self.recipe.position_origin,
        )
        request = prepare(
            self._model,
            text.tokens.to(self._dtype),
            text.pooled.to(self._dtype),
            references,
            ids.to(self._device),
            timesteps,
            plan.guidance,
        )
        return (request,)

    def _noise(self, plan: Plan) -> Tensor:
        rows, columns = grid(plan.size)
        shape = (1, self._model.config.in_channels // 4, 2 * rows, 2 * columns)
        generator = torch.Generator("cpu").manual_seed(plan.seed)
        return pixels.pack(torch.randn(shape, generator=generator, dtype=torch.float32))

    def _encode(self, prompt: str) -> tuple[Tensor, ...]:
        text = self._text.encode(prompt)
        return text.tokens, text.pooled

    def _latents(self, image: Picture, size: Size) -> tuple[Tensor, ...]:
        is_stretched = self.recipe.reference_fit == "own" or image.mask is not None
        fit = pixels.stretch if is_stretched else pixels.cover
        tensor = pixels.to_tensor(fit(image, size)).to(self._device, self._dtype)
        return (pixels.pack(pixels.encode(self._parts.vae, tensor)),)

    def _decoded(self, session: Session, latents: Tensor) -> Picture:
        latent = pixels.unpack(latents, *session.grid)
        return pixels.to_picture(pixels.decode(self._parts.vae, latent))

    def _canvas(self, plan: Plan, images: Sequence[Picture], noise: Tensor) -> Canvas | None:
        if not images or images[0].mask is None:
            return None
        (original,) = self._reference(images[0], plan.size)
        may_change = None
        if self.recipe.puts_back:
            may_change = changeable(images[0].mask, plan.size, noise.shape[1] // 4)
            may_change = may_change.to(self._device)
        return Canvas(original, noise, may_change)

    # -- how references are laid out -------------------------------------------------------------

    def _layout(self, edit: Edit) -> ReferenceLayout:
        return edit.reference_layout or self.recipe.reference_layout

    def _stitches(self, edit: Edit, images: Sequence[object]) -> bool:
        return self._layout(edit) == "stitch" and len(images) > 1

    def _shown(self, plan: Plan, edit: Edit, images: Sequence[Picture]) -> Sequence[Picture]:
        images = _shown(edit, images)
        if not self._stitches(edit, images):
            return images
        return [pixels.stitch(images, plan.references[0])]


def _shown(edit: Edit, images: Sequence[T]) -> Sequence[T]:
    """Those of the pictures, or of their sizes, that the model sees."""
    is_hidden = edit.mask is not None and edit.mask.hides and len(images) > 1
    return images[1:] if is_hidden else images
