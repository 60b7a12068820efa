"""A job in the engine: its pictures in the making, and what is told of it when it ends."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from retouch.domain.edit import Mode
from retouch.domain.picture import Picture
from retouch.engine.progress import progress_line
from retouch.ports import Plan


@dataclass(slots=True)
class Run:
    """A planned job: a session for each picture in the making, a picture for each that is done."""

    plans: tuple[Plan, ...]  # they differ in their seed only
    asked: Mode  # of its edit; the plans have what is served
    opened_at: float | None = None
    sessions: dict[int, Any] = field(default_factory=dict)
    pictures: dict[int, Picture] = field(default_factory=dict)
    step: int = 0  # steps done, averaged over its pictures and rounded down
    previews: int = 0  # of those it wants, how many have been made or left out
    metrics: Counter[str] = field(default_factory=Counter)  # of its finished pictures, by name

    @property
    def plan(self) -> Plan:
        """Of its first picture."""
        return self.plans[0]

    @property
    def is_done(self) -> bool:
        """Whether every picture is there."""
        return len(self.pictures) == len(self.plans)

    def elapsed_s(self, now: float) -> float:
        """How long ago its first picture was opened, on the clock that `opened_at` is of."""
        return 0.0 if self.opened_at is None else now - self.opened_at

    def logs(self, weights: str, now: float) -> str:
        """A prediction's logs, as hosted APIs show them; `weights` is the name of its weights."""
        plan = self.plan
        lines = [
            f"Using seed: {plan.seed}",
            f"Served by the weights {weights}, {plan.size.width}x{plan.size.height} pixels",
            *self._mode_lines(),
        ]
        if self.step:
            lines.append(progress_line(self.step, plan.steps, self.elapsed_s(now)))
        return "\n".join(lines) + "\n"

    def _mode_lines(self) -> list[str]:
        """Lines for an edit that is not exact, or that asked for `fast` and is exact."""
        plan = self.plan
        if plan.mode != "exact":
            return [f"Mode: {plan.mode}, not exact: {dict(self.metrics)}", *plan.notes]
        if self.asked == "exact":
            return []
        why = "; ".join(plan.notes) or f"these weights have no {self.asked} mode here"
        return [f"Mode: exact; {why}"]
