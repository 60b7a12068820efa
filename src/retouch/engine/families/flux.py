"""The parts that FLUX.1 and FLUX.2 share: opening, packed steps and decoding of pictures.

A family of either says in a class of its own what an edit takes, what its requests and noise are
made of, and how its codec reads and writes latents. Same number by number as diffusers' pipelines
given the same noise.

Noise is float32 from a CPU generator seeded with the plan's seed, then cast: a seed means the same
picture on every device and in every batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any, get_args

import torch
from torch import Tensor

from retouch.domain.edit import Edit, Mode, Size
from retouch.domain.picture import Picture
from retouch.engine.families import Options
from retouch.engine.families.aside import aside_bytes
from retouch.engine.families.blocks import Blocks, compiles
from retouch.engine.families.cache import TensorCache
from retouch.engine.families.device import beside, finish, guarded
from retouch.engine.families.fast import fast_steps, look_beside
from retouch.engine.families.inpaint import Canvas
from retouch.engine.families.lora import LoraShelf
from retouch.engine.families.packed import Request, velocity
from retouch.engine.families.positions import grid, tokens
from retouch.engine.families.recall import recall_bytes
from retouch.engine.families.recipe import Recipe
from retouch.engine.families.regional import why_whole
from retouch.engine.families.session import Moved, Session, guided
from retouch.ports import Plan

WARM_UP = Edit(prompt="warm up", size=Size(128, 128), seed=0, steps=2, guidance=1.0)
"""Of one request: a guidance of 1 needs no second."""


class FluxFamily(ABC):
    """`retouch.ports.Family` but for what a class of its own must say.

    `parts` are a checkpoint's components, at least `transformer`, `vae` and `shift`; `blocks` those
    of its transformer, and `loader` diffusers' mixin that knows its LoRAs.
    """

    def __init__(
        self,
        parts: Any,
        recipe: Recipe,
        options: Options,
        *,
        device: str,
        blocks: Blocks,
        loader: str,
        is_ever_fast: bool = True,
    ) -> None:
        self.name = recipe.name
        self.recipe = recipe
        self._parts = parts
        self._model = parts.transformer
        self._dtype: torch.dtype = self._model.dtype
        self._device = torch.device(device)
        self._blocks = blocks
        self._shelf = LoraShelf(self._model, loader, options.loras)
        self._cache = TensorCache(options.cache_bytes)
        self._fast_tolerance = options.fast_tolerance if is_ever_fast else 0.0
        self._fast_likeness = options.fast_likeness if is_ever_fast else 0.0

    @abstractmethod
    def plan(self, edit: Edit, images: Sequence[Size], seed: int) -> Plan:
        """Sizes, steps, seed and tokens for one picture; raises InvalidEdit when out of bounds.

        What the edit leaves open is the recipe's; guidance is None for weights that take none.
        """

    @abstractmethod
    def cost(self, plan: Plan) -> float:
        """TFLOP of one step: linears grow with the tokens, attention with their square."""

    def open(self, plan: Plan, edit: Edit, images: Sequence[Picture]) -> Session:
        """A session: text and references encoded, positions laid out, noise drawn."""
        with guarded():
            self._shelf.wear(edit.loras)
            references = self._references(plan, self._shown(plan, edit, images))
            sigmas = self._sigmas(plan)
            requests = self._requests(plan, edit, references, self._timesteps(sigmas))
            noise = self._noise(plan).to(self._device, self._dtype)
            canvas = self._canvas(plan, images, noise)
            latents = noise if canvas is None else canvas.noised(sigmas[0])
            session = Session(plan, requests, latents, sigmas, grid(plan.size), canvas=canvas)
            if plan.mode == "fast" and not self._why_whole(plan):
                session.reference = references if canvas is None else canvas.original
            session.is_watched = edit.previews > 0
            session.loras = edit.loras
            finish(self._device)
            return session

    def warm(self, plan: Plan, edit: Edit, images: Sequence[Picture]) -> None:
        """Encode what `open` will want, if the cache is to keep it.

        For another thread: the transformer, and what it wears, is left alone.
        """
        with guarded(), beside(self._device):
            for prompt in self._prompts(plan, edit):
                self._encoded(prompt)
            self._references(plan, self._shown(plan, edit, images))

    def compile(self) -> None:
        """From now on, steps by compiled blocks, where the compiler can."""
        as_written = self._blocks
        self._blocks = as_written.compiled()
        if not compiles(self._rehearse):
            self._blocks = as_written

    def step(self, sessions: Sequence[Session]) -> None:
        """One denoising step for each, in one forward pass. All or nothing."""
        with guarded():
            steps = self._passes(sessions)
            moved = [
                session.moved(step.velocity) for session, step in zip(sessions, steps, strict=True)
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
        image rows, counted once a step. One of both passes of a guided step counts half."""
        if session.plan.mode != "fast":
            return {}
        shortcuts = session.shortcuts
        return {
            "reused_steps": shortcuts.reused / len(session.requests),
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

    # -- what a class of its own must say ---------------------------------------------------------

    @abstractmethod
    def _sigmas(self, plan: Plan) -> Tensor:
        """Noise levels before each step and after the last, (steps + 1,), float32, on the CPU."""

    @abstractmethod
    def _requests(
        self, plan: Plan, edit: Edit, references: Tensor, timesteps: Tensor
    ) -> tuple[Request, ...]:
        """What goes through the transformer for a picture: one request, or with and without prompt.

        `references` are packed latents, `timesteps` those of all steps.
        """

    @abstractmethod
    def _noise(self, plan: Plan) -> Tensor:
        """Packed noise, (target tokens, C), float32, on the CPU."""

    @abstractmethod
    def _encode(self, prompt: str) -> tuple[Tensor, ...]:
        """An instruction as the text encoders say it."""

    @abstractmethod
    def _latents(self, image: Picture, size: Size) -> tuple[Tensor, ...]:
        """A reference's packed latents at a size, (tokens, C); one with a mask is stretched to it
        whole, or else it would not lie under its mask."""

    @abstractmethod
    def _decoded(self, session: Session, latents: Tensor) -> Picture:
        """The picture of packed latents."""

    def _prompts(self, plan: Plan, edit: Edit) -> tuple[str, ...]:
        """Of each of its requests."""
        return (edit.prompt,)

    def _shown(self, plan: Plan, edit: Edit, images: Sequence[Picture]) -> Sequence[Picture]:
        """The pictures that its references are made of."""
        return images

    def _canvas(self, plan: Plan, images: Sequence[Picture], noise: Tensor) -> Canvas | None:
        """What a masked path is put back to, for a class that can. Noise is (target tokens, C)."""
        return None

    # -- what a session is made of ---------------------------------------------------------------

    def _encoded(self, prompt: str) -> tuple[Tensor, ...]:
        return self._cache.of(sha256(prompt.encode()).digest(), partial(self._encode, prompt))

    def _references(self, plan: Plan, images: Sequence[Picture]) -> Tensor:
        """Packed latents of all references, one after the other: (reference tokens, C)."""
        empty = torch.empty(0, self._model.config.in_channels)
        latents = [empty.to(self._device, self._dtype)]
        for image, size in zip(images, plan.references, strict=True):
            latents += self._reference(image, size)
        return torch.cat(latents)

    def _reference(self, image: Picture, size: Size) -> tuple[Tensor, ...]:
        """A reference's packed latents, (tokens, C), from the cache if they are there."""
        key = (sha256(image.data).digest(), image.width, size, image.mask is not None)
        return self._cache.of(key, partial(self._latents, image, size))

    def _timesteps(self, sigmas: Tensor) -> Tensor:
        """Noise levels (steps,) as the pipeline hands them over: t = 1000 sigma in the model's
        precision, divided by 1000 there."""
        now: Tensor = sigmas[:-1] * self._parts.shift.num_train_timesteps
        return now.to(self._device, self._dtype) / 1000

    def _rehearse(self) -> None:
        """Passes of every kind there is, of one request and of several."""
        plan = self.plan(WARM_UP, [], 0)
        for count in (1, 2):
            sessions = [self.open(plan, WARM_UP, []) for _ in range(count)]
            self.step(sessions)
            if self._fast_likeness:
                with guarded():
                    look_beside(self._model, self._blocks, sessions)

    # -- fast mode --------------------------------------------------------------------------------

    def _why_whole(self, plan: Plan) -> str:
        """Why no step of a fast picture may leave out places; empty where some may."""
        if not self._fast_likeness:
            return "they are switched off"
        return why_whole(grid(plan.size), [grid(size) for size in plan.references], plan.steps)

    def _fast(self, plan: Plan, requests: int = 1) -> Plan:
        """A plan of so many requests in fast mode, if there is one here, with what it keeps."""
        if not self._fast_tolerance and not self._fast_likeness:
            return plan
        kept_bytes, notes, why = 0, plan.notes, self._why_whole(plan)
        if self._fast_tolerance:
            kept_bytes += recall_bytes(self._model, tokens(plan.size))
        if why:
            notes = (*notes, f"No region-aware steps: {why}")
        else:
            rows = sum(map(tokens, (plan.size, *plan.references)))
            kept_bytes += aside_bytes(self._model, rows)
        held_bytes = plan.held_bytes + requests * kept_bytes
        return replace(plan, mode="fast", held_bytes=held_bytes, notes=notes)

    # -- a step -----------------------------------------------------------------------------------

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
                self._model, self._blocks, sessions, self._fast_tolerance, self._fast_likeness
            )
        twins = [session for session in sessions for _ in session.requests]
        velocities = iter(
            velocity(
                self._model,
                self._blocks,
                [request for session in sessions for request in session.requests],
                [session.latents for session in twins],
                [session.index for session in twins],
            )
        )
        return [
            Moved(guided([next(velocities) for _ in session.requests], session.plan.guidance))
            for session in sessions
        ]
