"""The roster: the processes that are up."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class ProcessKind(StrEnum):
    """The task of a process on the roster."""

    WORKER = "worker"
    WEB = "web"


@dataclass(frozen=True, slots=True)
class Enlisted:
    """A process that is up, and what it measured, in Prometheus' text format."""

    name: str
    kind: ProcessKind
    figures: str


class Roster(Protocol):
    """Which processes are up, and their figures: workers, and web processes where there are
    several. Part of the same database as the predictions.
    """

    async def enlist(self, process: Enlisted) -> None:
        """Record that a process is up now. Two of one name are the same."""

    async def strike(self, name: str) -> None:
        """Forget a process. Unknown names are fine."""

    async def strike_silent(self, *, for_s: float) -> None:
        """Forget who was not heard for so long. It writes, so it raises Busy where nobody can."""

    async def enlisted(self, *, within_s: float) -> Sequence[Enlisted]:
        """Each process that was heard in the last `within_s`, in order of their names."""
