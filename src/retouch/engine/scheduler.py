"""Which pictures step next: values and decisions, no tensors, no I/O.

Every picture in the making is a `Turn`. A `Schedule` keeps jobs that wait and turns that run, both
oldest first, and `group` cuts the next forward pass out of the running ones. The engine owns what
the turns stand for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Turn:
    """One picture of a job: the job's id, its number in the job, its tokens in a forward pass."""

    job: str
    number: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """Who waits to be opened and who is being denoised, each oldest first."""

    waiting: tuple[str, ...] = ()
    running: tuple[Turn, ...] = ()

    @property
    def jobs(self) -> tuple[str, ...]:
        """Every job once: the running ones oldest first, then the waiting ones."""
        return (*dict.fromkeys(turn.job for turn in self.running), *self.waiting)

    def wait(self, job: str) -> "Schedule":
        """With a job at the end of the waiting line; raises ValueError when it is already here."""
        if job in self.jobs:
            raise ValueError(f"job {job!r} is already in the engine")
        return replace(self, waiting=(*self.waiting, job))

    def open(self, job: str, tokens: Sequence[int]) -> "Schedule":
        """With a waiting job running, one turn for each of its pictures."""
        turns = tuple(Turn(job, number, count) for number, count in enumerate(tokens))
        waiting = tuple(other for other in self.waiting if other != job)
        return Schedule(waiting, (*self.running, *turns))

    def finish(self, turns: Iterable[Turn]) -> "Schedule":
        """Without turns that are done."""
        done = frozenset(turns)
        return replace(self, running=tuple(turn for turn in self.running if turn not in done))

    def drop(self, job: str) -> "Schedule":
        """Without a job, wherever it is. An unknown one changes nothing."""
        return Schedule(
            tuple(other for other in self.waiting if other != job),
            tuple(turn for turn in self.running if turn.job != job),
        )


def group(running: Sequence[Turn], token_budget: int) -> tuple[Turn, ...]:
    """The turns of the next forward pass: oldest first, every one that still fits the budget.

    The oldest always steps, even when it alone is over the budget, so each turn is served at the
    latest once those before it are done. A younger one may go ahead of one too large to fit.
    """
    chosen: list[Turn] = []
    left = token_budget
    for turn in running:
        if not chosen or turn.tokens <= left:
            chosen.append(turn)
            left -= turn.tokens
    return tuple(chosen)
