"""The toy family: a solid colour instead of a model, in pure Python.

It answers every question of scheduling, breaking and cancelling in microseconds. The colour depends
on the prompt, the seed and the first picture, so two edits can be told apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from retouch.domain.edit import Edit, Size
from retouch.domain.errors import EngineFailed, InvalidEdit, Violation
from retouch.domain.geometry import target_size
from retouch.domain.picture import Picture
from retouch.ports import Plan

Stage = Literal["open", "step", "preview", "close"]


def never(_stage: Stage, _prompt: str) -> bool:
    """The toy that does not break."""
    return False


@dataclass(slots=True)
class ToySession:
    """A picture being made: its colour and how far it is."""

    plan: Plan
    prompt: str
    colour: bytes  # red, green, blue
    index: int = 0


class ToyFamily:
    """`retouch.ports.Family` without weights.

    Each step of a group calls `sleep(delay_s)` once. `breaks(stage, prompt)` decides when a
    session fails with EngineFailed; a group breaks as a whole, as a real forward pass does.
    """

    name = "toy"

    def __init__(
        self,
        *,
        steps: int = 4,
        area: int = 64 * 64,
        delay_s: float = 0.0,
        sleep: Callable[[float], None] | None = None,
        breaks: Callable[[Stage, str], bool] = never,
    ) -> None:
        self._steps = steps
        self._area = area
        self._delay_s = delay_s
        self._sleep = sleep
        self._breaks = breaks

    def plan(self, edit: Edit, images: Sequence[Size], seed: int) -> Plan:
        """The edit's own steps and size, 256 pixels to a token; raises InvalidEdit below 1 step."""
        steps = self._steps if edit.steps is None else edit.steps
        if steps < 1:
            raise InvalidEdit((Violation("steps", "range", f"is {steps}, must be at least 1"),))
        size = target_size(edit, images[0] if images else None, self._area)
        tokens = 16 + sum(s.width * s.height // 256 for s in (size, *images))
        return Plan(
            size=size,
            references=tuple(images),
            steps=steps,
            guidance=edit.guidance,
            seed=seed,
            tokens=tokens,
        )

    def open(self, plan: Plan, edit: Edit, images: Sequence[Picture]) -> ToySession:
        """A session whose colour is already decided."""
        self._check("open", edit.prompt)
        text = f"{plan.seed} {edit.prompt}".encode()
        first = images[0].data if images else b""
        return ToySession(plan, edit.prompt, sha256(text + first).digest()[:3])

    def step(self, sessions: Sequence[ToySession]) -> None:
        """One step for each; all or nothing."""
        if self._sleep is not None:
            self._sleep(self._delay_s)
        for session in sessions:
            self._check("step", session.prompt)
        for session in sessions:
            session.index += 1

    def step_index(self, session: ToySession) -> int:
        """Steps a session has done."""
        return session.index

    def metrics(self, session: ToySession) -> dict[str, float]:
        """Nothing of its own."""
        return {}

    def preview(self, session: ToySession) -> Picture:
        """Black that takes on its colour, a share with each step."""
        self._check("preview", session.prompt)
        done, steps = session.index, session.plan.steps
        return _painted(session.plan.size, bytes(part * done // steps for part in session.colour))

    def close(self, session: ToySession) -> Picture:
        """The coloured picture."""
        self._check("close", session.prompt)
        return _painted(session.plan.size, session.colour)

    def cost(self, plan: Plan) -> float:
        """Its tokens."""
        return float(plan.tokens)

    def _check(self, stage: Stage, prompt: str) -> None:
        if self._breaks(stage, prompt):
            raise EngineFailed(f"The toy broke at {stage}, as it was told to.")


def _painted(size: Size, colour: bytes) -> Picture:
    return Picture(size.width, size.height, colour * (size.width * size.height))
