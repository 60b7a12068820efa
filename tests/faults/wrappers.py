"""Ports that fail on purpose: every verb can be refused, be late, or happen and then say it failed.

`faulty` generates a wrapper with every verb of the ports it is given, so a verb that a port gains
is covered the day it gains it.
"""

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from retouch.domain.errors import Busy


class Fault(StrEnum):
    """What may happen to a call."""

    REFUSED = "refused"  # it raises Busy, and nothing happened
    LATE = "late"  # it happened; the answer comes after others had their turn
    DOUBTFUL = "doubtful"  # it happened, and raises Busy


Plan = Callable[[str], Fault | None]
"""Asked at each call, with the verb's name, what shall happen to it."""

LATE_S = 0.02


@dataclass
class Nth:
    """A plan: the `nth` call of one verb, and the `times - 1` after it, suffer `fault`."""

    verb: str
    fault: Fault
    nth: int = 1
    times: int = 1

    def __post_init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __call__(self, verb: str) -> Fault | None:
        self.calls[verb] += 1
        is_hit = verb == self.verb and 0 <= self.calls[verb] - self.nth < self.times
        return self.fault if is_hit else None

    @property
    def struck(self) -> bool:
        """Whether the fault happened at all."""
        return self.calls[self.verb] >= self.nth


def verbs(port: type) -> Sequence[str]:
    """The names of a port's verbs, as it lists them."""
    return [
        name
        for name, member in vars(port).items()
        if inspect.isfunction(member) and not name.startswith("_")
    ]


def faulty(real: Any, plan: Plan, *ports: type) -> Any:
    """`real` with every verb of its ports at the mercy of a plan."""
    wrapped = {
        name: _verb(name) if inspect.iscoroutinefunction(vars(port)[name]) else _stream(name)
        for port in ports
        for name in verbs(port)
    }
    return type("Faulty", (_Faulty,), wrapped)(real, plan)


class _Faulty:
    def __init__(self, real: Any, plan: Plan) -> None:
        self._real, self._plan = real, plan


def _verb(name: str) -> Callable[..., Any]:
    async def call(self: _Faulty, *arguments: Any, **options: Any) -> Any:
        fault = self._plan(name)
        if fault is Fault.REFUSED:
            raise Busy(f"{name} was refused, as planned")
        answer = await getattr(self._real, name)(*arguments, **options)
        await _afterwards(name, fault)
        return answer

    return call


def _stream(name: str) -> Callable[..., AsyncIterator[Any]]:
    async def call(self: _Faulty, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        fault = self._plan(name)
        if fault is Fault.REFUSED:
            raise Busy(f"{name} was refused, as planned")
        async for answer in getattr(self._real, name)(*arguments, **options):
            yield answer
        await _afterwards(name, fault)

    return call


async def _afterwards(name: str, fault: Fault | None) -> None:
    if fault is Fault.LATE:
        await asyncio.sleep(LATE_S)
    if fault is Fault.DOUBTFUL:
        raise Busy(f"{name} happened and said it did not, as planned")
