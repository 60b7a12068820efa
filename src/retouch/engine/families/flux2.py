"""FLUX.2 klein: up to four references and an instruction in, an edited picture out.

The same shape as `flux1`: plan, sessions, one denoising step for any mix of requests
(`packed_flux2`). Reference code: black-forest-labs/flux2 and diffusers' `Flux2KleinPipeline`, which
it equals number by number given the same noise. Distilled weights take no guidance; base weights
are guided by a second request without a prompt, packed into the same pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from retouch.domain.edit import Edit, Lora, Mode, Size
from retouch.domain.errors import InvalidEdit, Violation
from retouch.domain.geometry import MULTIPLE, target_size
from retouch.domain.picture import Picture
from retouch.engine.families import DType, Options, WeightsError, pixels, read_json
from retouch.engine.families.blocks import compiles
from retouch.engine.families.bounds import violations
from retouch.engine.families.cache import TensorCache
from retouch.engine.families.checkpoint import (
    Placement,
    read_model,
    read_shift,
    read_tokenizer,
    read_transformer,
)
from retouch.engine.families.device import beside, check_device, finish, guarded
from retouch.engine.families.footprint import with_footprint
from retouch.engine.families.lora import LoraShelf
from retouch.engine.families.packed import Request, recalled_velocity, velocity
from retouch.engine.families.packed_flux2 import BLOCKS, MODULATIONS, modulations_at, prepare
from retouch.engine.families.positions import Grid, planes
from retouch.engine.families.recall import Recall, Recalled, recall_bytes
from retouch.engine.families.recipe import Recipe, read_recipe
from retouch.engine.families.reference import capped_size
from retouch.engine.families.schedule import Shift, fitted_mu, shifted_sigmas
from retouch.engine.families.session import euler
from retouch.ports import Plan

MAX_REFERENCES = 4
MIN_REFERENCE_SIDE = 64
MAX_REFERENCE_RATIO = 8  # long side to short side

TEXT_LAYERS = (9, 18, 27)
"""The layers of the text encoder whose outputs, side by side, are the text."""

DISTILLED: Mapping[str, Any] = {"steps": 4, "guidance": None, "reference_layout": "index"}
BASE: Mapping[str, Any] = {"steps": 50, "guidance": 4.0, "reference_layout": "index"}
"""How the published weights are used (black-forest-labs/flux2, README)."""

WHY_EXACT = "distilled weights have no fast mode: of so few steps none is like the last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The components of a FLUX.2 klein checkpoint. The libraries bring no types."""

    transformer: Any
    vae: Any
    qwen: Any
    tokenizer: Any
    shift: Shift


@dataclass(slots=True)
class Session:
    """A picture being made. Dropping the object frees everything it holds."""

    plan: Plan
    requests: tuple[Request, ...]  # with the prompt and, when guided, without
    latents: Tensor  # (target tokens, C), in the model's precision
    sigmas: Tensor  # (steps + 1,), float32, on the CPU
    index: int = 0  # steps done
    is_watched: bool = False  # whether somebody wants previews
    estimate: Tensor | None = None  # where a watched path ends if it goes straight on, as latents
    loras: tuple[Lora, ...] = ()
    recalls: tuple[Recall | None, ...] = ()  # of each request, in fast mode
    reused: int = 0  # passes of its requests that were cut short


@dataclass(frozen=True, slots=True)
class Moved:
    """A step of one session."""

    velocity: Tensor  # of its target, guided, (target tokens, C)
    recalls: tuple[Recall | None, ...] = ()  # for the next step
    reused: int = 0  # passes cut short


class Flux2Family:
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
        self.name = recipe.name
        self.recipe = recipe
        self._parts = parts
        self._model = parts.transformer
        self._shelf = LoraShelf(self._model, "Flux2LoraLoaderMixin", options.loras)
        self._device = torch.device(device)
        self._dtype: torch.dtype = self._model.dtype
        self._blocks = BLOCKS
        self._cache = TensorCache(options.cache_bytes)
        self._fast_tolerance = options.fast_tolerance
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
        parts = Parts(
            transformer=read_transformer(folder, index, placement, options.transformer),
            vae=read_model(folder, index, "vae", placement),
            qwen=_trimmed(
                folder, read_model(folder, index, "text_encoder", placement, is_large=True)
            ),
            tokenizer=read_tokenizer(folder, index, "tokenizer"),
            shift=read_shift(folder / "scheduler" / "scheduler_config.json"),
        )
        _check_widths(folder, parts)
        return cls(parts, recipe, options, device=device, takes_guidance=not is_distilled)

    def plan(self, edit: Edit, images: Sequence[Size], seed: int) -> Plan:
        """Sizes, steps, seed and tokens for one picture; raises InvalidEdit when out of bounds.

        Without a size or a shape in the edit, the picture is as large as its first reference.
        """
        layout = edit.reference_layout or self.recipe.reference_layout
        broken = [*violations(edit, len(images), most=MAX_REFERENCES), *_unfit(images)]
        broken += self._shelf.violations(edit.loras)
        if layout != "index":
            text = f"is {layout!r}, which these weights do not know; use 'index'"
            broken.append(Violation("reference_layout", "unsupported", text))
        if broken:
            raise InvalidEdit(tuple(broken))
        recipe = self.recipe
        references = tuple(capped_size(image, recipe.area) for image in images)
        if edit.size is None and edit.aspect_ratio is None and references:
            size = references[0]
        else:
            size = target_size(edit, None, recipe.area)
        rows = sum(side.width * side.height // MULTIPLE**2 for side in (size, *references))
        guidance = recipe.guidance if edit.guidance is None else edit.guidance
        if not self._takes_guidance:
            guidance = None
        plan = Plan(
            size=size,
            references=references,
            steps=recipe.steps if edit.steps is None else edit.steps,
            guidance=guidance,
            seed=seed,
            tokens=(2 if _is_guided(guidance) else 1) * (recipe.max_sequence_length + rows),
        )
        plan = with_footprint(plan, self._model, self._parts.vae, MODULATIONS)
        return self._fast(plan) if edit.mode == "fast" else plan

    def open(self, plan: Plan, edit: Edit, images: Sequence[Picture]) -> Session:
        """A session: text and references encoded, positions laid out, noise drawn."""
        with guarded():
            self._shelf.wear(edit.loras)
            target = _grid(plan.size)
            references = self._references(plan, images)
            ids = planes(
                self.recipe.max_sequence_length, target, [_grid(size) for size in plan.references]
            ).to(self._device)
            mu = fitted_mu(target[0] * target[1], plan.steps)
            sigmas = torch.from_numpy(shifted_sigmas(plan.steps, mu, self._parts.shift))
            modulations = modulations_at(self._model, self._timesteps(sigmas))
            texts = [self._encoded(prompt).to(self._dtype) for prompt in _prompts(plan, edit)]
            requests = tuple(
                prepare(self._model, text, references, ids, modulations) for text in texts
            )
            session = Session(plan, requests, self._noise(plan), sigmas)
            session.is_watched = edit.previews > 0
            session.loras = edit.loras
            finish(self._device)
            return session

    def warm(self, plan: Plan, edit: Edit, images: Sequence[Picture]) -> None:
        """Encode what `open` will want, if the cache is to keep it.

        For another thread: the transformer, and what it wears, is left alone.
        """
        with guarded(), beside(self._device):
            for prompt in _prompts(plan, edit):
                self._encoded(prompt)
            self._references(plan, images)

    def compile(self) -> None:
        """From now on, steps by compiled blocks, where the compiler can."""
        self._blocks = BLOCKS.compiled()
        if not compiles(self):
            self._blocks = BLOCKS

    def step(self, sessions: Sequence[Session]) -> None:
        """One denoising step for each, in one forward pass. All or nothing."""
        with guarded():
            steps = self._passes(sessions)
            moved = []
            for session, step in zip(sessions, steps, strict=True):
                levels = session.sigmas[session.index : session.index + 2]
                moved.append(euler(session.latents, step.velocity, levels))
                if session.is_watched:
                    ends = session.sigmas[[session.index, -1]]
                    session.estimate = euler(session.latents, step.velocity, ends)
            finish(self._device)
        for session, latents, step in zip(sessions, moved, steps, strict=True):
            session.latents = latents
            session.index += 1
            session.recalls = step.recalls
            session.reused += step.reused

    def step_index(self, session: Session) -> int:
        """Steps a session has done."""
        return session.index

    def metrics(self, session: Session) -> dict[str, float]:
        """Steps cut short in fast mode; one of both passes of a guided step counts half."""
        if session.plan.mode != "fast":
            return {}
        return {"reused_steps": session.reused / len(session.requests)}

    def preview(self, session: Session) -> Picture | None:
        """The estimate of the last step, decoded by the real codec."""
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
        passes = 2 if _is_guided(plan.guidance) else 1
        tokens = plan.tokens // passes
        linear = 2 * (4 + 3 * config.mlp_ratio) * width**2 * tokens
        return float(passes * layers * (linear + 4 * width * tokens**2) / 1e12)

    # -- what a session is made of ---------------------------------------------------------------

    def _encoded(self, prompt: str) -> Tensor:
        key = sha256(prompt.encode()).digest()
        (tokens,) = self._cache.of(key, lambda: (self._text(prompt),))
        return tokens

    def _text(self, prompt: str) -> Tensor:
        """(max_sequence_length, joint_attention_dim). Padding takes part, as in training."""
        tokenizer, qwen = self._parts.tokenizer, self._parts.qwen
        chat = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        encoded = tokenizer(
            chat,
            padding="max_length",
            max_length=self.recipe.max_sequence_length,
            truncation=True,
            return_tensors="pt",
        )
        states = qwen(
            input_ids=encoded.input_ids.to(self._device),
            attention_mask=encoded.attention_mask.to(self._device),
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states
        return torch.cat([states[layer][0] for layer in TEXT_LAYERS], dim=1)

    def _fast(self, plan: Plan) -> Plan:
        """A plan that asks for fast mode, as it is served."""
        if not self._takes_guidance:
            return replace(plan, notes=(WHY_EXACT,))
        if not self._fast_tolerance:
            return plan
        rows = plan.pixels // MULTIPLE**2 * (2 if _is_guided(plan.guidance) else 1)
        held_bytes = plan.held_bytes + recall_bytes(self._model, rows)
        return replace(plan, mode="fast", held_bytes=held_bytes)

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
        requests = [request for session in sessions for request in session.requests]
        twins = [session for session in sessions for _ in session.requests]
        latents, steps = [each.latents for each in twins], [each.index for each in twins]
        if mode == "exact":
            velocities = iter(velocity(self._model, self._blocks, requests, latents, steps))
            return [
                Moved(guided([next(velocities) for _ in session.requests], session.plan.guidance))
                for session in sessions
            ]
        recalls = [
            recall
            for session in sessions
            for recall in session.recalls or (None,) * len(session.requests)
        ]
        ends = iter(
            recalled_velocity(
                self._model, BLOCKS, requests, latents, steps, recalls, self._fast_tolerance
            )
        )
        return [
            _moved([next(ends) for _ in session.requests], session.plan.guidance)
            for session in sessions
        ]

    def _noise(self, plan: Plan) -> Tensor:
        """Packed noise, (target tokens, C); from a CPU generator, so the same on every device."""
        generator = torch.Generator("cpu").manual_seed(plan.seed)
        shape = (1, self._model.config.in_channels, *_grid(plan.size))
        noise = torch.randn(shape, generator=generator, dtype=torch.float32)
        return _rows(noise).to(self._device, self._dtype)

    def _references(self, plan: Plan, images: Sequence[Picture]) -> Tensor:
        """Packed latents of all references, one after the other: (reference tokens, C)."""
        empty = torch.empty(0, self._model.config.in_channels)
        tokens = [empty.to(self._device, self._dtype)]
        for image, size in zip(images, plan.references, strict=True):
            key = (sha256(image.data).digest(), image.width, size)
            tokens += self._cache.of(key, partial(self._latents, image, size))
        return torch.cat(tokens)

    def _latents(self, image: Picture, size: Size) -> tuple[Tensor, ...]:
        """A reference's packed latents, (tokens, C)."""
        fitted = pixels.cut(pixels.capped(image, self.recipe.area), size)
        tensor = pixels.to_tensor(fitted).to(self._device, self._dtype)
        latent = self._parts.vae.encode(tensor).latent_dist.mode()
        patches = pixels.patch(latent)
        mean, deviation = self._statistics(patches)
        return (_rows((patches - mean) / deviation),)

    def _decoded(self, session: Session, latents: Tensor) -> Picture:
        latent = self.unpacked(latents, session.plan.size)
        return pixels.to_picture(self._parts.vae.decode(latent, return_dict=False)[0])

    def unpacked(self, latents: Tensor, size: Size) -> Tensor:
        """Packed latents as the autoencoder decodes them, (1, c, height / 8, width / 8)."""
        rows, columns = _grid(size)
        patches = latents.view(1, rows, columns, -1).permute(0, 3, 1, 2)
        mean, deviation = self._statistics(patches)
        return pixels.unpatch(patches * deviation + mean)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each feature over the training pictures, (1, C, 1, 1)."""
        norm = self._parts.vae.bn
        variance = norm.running_var.view(1, -1, 1, 1) + self._parts.vae.config.batch_norm_eps
        mean = norm.running_mean.view(1, -1, 1, 1).to(like)
        return mean, torch.sqrt(variance).to(like)

    def _timesteps(self, sigmas: Tensor) -> Tensor:
        """Noise levels (steps,) as the pipeline hands them over: t = 1000 sigma in the model's
        precision, divided by 1000 there."""
        now = sigmas[:-1] * self._parts.shift.num_train_timesteps
        return now.to(self._device, self._dtype) / 1000


def _moved(steps: Sequence[Recalled], guidance: float | None) -> Moved:
    """A session's step from those of its requests."""
    return Moved(
        guided([step.velocity for step in steps], guidance),
        tuple(step.recall for step in steps),
        sum(step.is_reused for step in steps),
    )


def guided(velocities: Sequence[Tensor], guidance: float | None) -> Tensor:
    """One velocity, or the one with the prompt pushed away from the one without."""
    if len(velocities) == 1 or guidance is None:
        return velocities[0]
    prompted, plain = velocities
    return plain + guidance * (prompted - plain)


def _prompts(plan: Plan, edit: Edit) -> tuple[str, ...]:
    return (edit.prompt, "") if _is_guided(plan.guidance) else (edit.prompt,)


def _is_guided(guidance: float | None) -> bool:
    """Whether a picture needs the pass without a prompt; up to 1 it would change nothing."""
    return guidance is not None and guidance > 1


def _unfit(images: Sequence[Size]) -> list[Violation]:
    found = []
    for number, size in enumerate(images):
        short, long = sorted((size.width, size.height))
        if short < MIN_REFERENCE_SIDE:
            text = f"is {size.width}x{size.height}, sides must be at least {MIN_REFERENCE_SIDE}"
            found.append(Violation(f"images.{number}", "range", text))
        elif long > MAX_REFERENCE_RATIO * short:
            text = (
                f"is {size.width}x{size.height}, its long side must be at most "
                f"{MAX_REFERENCE_RATIO} times its short one"
            )
            found.append(Violation(f"images.{number}", "range", text))
    return found


def _trimmed(folder: Path, qwen: Any) -> Any:
    """The text encoder without what nobody reads: the layers past the last one, the word head."""
    base, needed = qwen.model, max(TEXT_LAYERS) + 1  # the last layer's own output comes normed
    if len(base.layers) < max(TEXT_LAYERS):
        raise WeightsError(
            f"{folder / 'text_encoder'} has {len(base.layers)} layers, needs {max(TEXT_LAYERS)}"
        )
    if len(base.layers) > needed:
        del base.layers[needed:]
        base.config.num_hidden_layers = needed
    return base


def _check_widths(folder: Path, parts: Parts) -> None:
    """Components trained together fit together; say so before the first edit fails."""
    for name, gives, field in (
        ("vae", 4 * parts.vae.config.latent_channels, "in_channels"),
        ("text_encoder", len(TEXT_LAYERS) * parts.qwen.config.hidden_size, "joint_attention_dim"),
    ):
        wanted = parts.transformer.config[field]
        if gives != wanted:
            raise WeightsError(
                f"{folder / name} gives {gives} features, but the transformer's {field} is {wanted}"
            )


def _rows(patches: Tensor) -> Tensor:
    """(1, C, rows, columns) to (rows * columns, C)."""
    return patches[0].flatten(1).T


def _grid(size: Size) -> Grid:
    return size.height // MULTIPLE, size.width // MULTIPLE
