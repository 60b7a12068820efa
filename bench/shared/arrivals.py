"""Edits of three sizes that arrive at random, and giving them to an engine as they do."""

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from retouch.domain.edit import Edit, Size
from retouch.engine.engine import StepEngine
from retouch.ports import Finished, Job


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of edits: its size, and its share of the arrivals."""

    name: str
    side: int
    share: float


KINDS = (Kind("small", 128, 0.6), Kind("medium", 256, 0.3), Kind("large", 512, 0.1))
STEPS = (2, 4, 6)  # an edit takes one of these


@dataclass(frozen=True, slots=True)
class Request:
    """An edit that arrives at some second."""

    id: str
    kind: str
    at_s: float
    edit: Edit


class BenchClock(Protocol):
    """A clock that can leap over time in which nothing happens."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...
    def skip_to(self, at_s: float) -> None: ...


Latencies = Mapping[str, float]
"""Seconds from the arrival to the picture, by request."""


def arrivals(count: int, rate: float, seed: int) -> list[Request]:
    """That many requests at so many a second, the same for the same seed."""
    draw = random.Random(seed)  # noqa: S311  not a secret
    requests, at_s = [], 0.0
    for number in range(count):
        at_s += draw.expovariate(rate)
        (kind,) = draw.choices(KINDS, [kind.share for kind in KINDS])
        edit = Edit(
            prompt="make it red", size=Size(kind.side, kind.side), steps=draw.choice(STEPS), seed=1
        )
        requests.append(Request(str(number), kind.name, at_s, edit))
    return requests


def serial_rate(service_s: Callable[[Request], float], seed: int = 0) -> float:
    """Requests a second the device could do one after the other."""
    return 1 / fmean(service_s(request) for request in arrivals(2000, 1.0, seed))


def drive(
    engine: StepEngine, requests: Sequence[Request], clock: BenchClock, job: Callable[..., Job]
) -> Latencies:
    """Give an engine its requests as they arrive and it has room; how long each took."""
    coming, queue = deque(requests), deque[Request]()
    arrived = {request.id: request.at_s for request in requests}
    latencies: dict[str, float] = {}
    while coming or queue or not engine.idle:
        if engine.idle and not queue:
            clock.skip_to(coming[0].at_s)
            queue.append(coming.popleft())
        while coming and coming[0].at_s <= clock.monotonic():
            queue.append(coming.popleft())
        while queue and engine.room():
            engine.add(job(queue.popleft()))
        for event in engine.step():
            if isinstance(event, Finished):
                latencies[event.id] = clock.monotonic() - arrived[event.id]
    if len(latencies) != len(requests):
        raise RuntimeError(f"{len(requests) - len(latencies)} requests were lost")
    return latencies
