"""A short measurement before the first job: how fast the device is, and what one pass should carry.

A forward pass of few tokens wastes the device, one of more than it can use at once only makes
everybody in it wait. The budget is where that turns: the fewest tokens at which a pass gets nearly
all the tokens per second there are to be had.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from retouch.domain.edit import Edit, Size
from retouch.domain.errors import RetouchError
from retouch.engine.pace import Pace
from retouch.ports import Clock, Family

log = structlog.get_logger(__name__)

ROUNDS = 5
"""How often each group is timed. Neighbours on the machine only ever make a pass slower, so the
shortest time tells most about the device."""

EDIT = Edit(prompt="calibration", size=Size(128, 128), seed=0, steps=ROUNDS + 1)
LARGE = replace(EDIT, size=Size(512, 512))
LARGE_TIMES = 2
ENOUGH = 0.85
"""The share of the best tokens per second that a budget must reach."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The measured figures; `token_budget` is None when passes could not be compared."""

    token_budget: int | None = None
    pace: Pace = field(default_factory=Pace)


def calibrate(
    family: Family, clock: Clock, *, limit_s: float = 2.0, most_tokens: int = 16_384
) -> Calibration:
    """Step ever larger groups of small pictures until that pays no more, a large picture, and then
    all groups again in turns, for `limit_s` or `ROUNDS` times.

    It ends with the pass that reaches the limit. A family that cannot be measured this way is
    left to learn from its first job.
    """
    groups: _Groups | None = None
    try:
        groups = _Groups(family, clock, ends_at=clock.monotonic() + limit_s)
        for count in _doubled(most_tokens // groups.plan.tokens):
            groups.open(count)
            if groups.is_over or not pays(groups.rates()):
                break
        groups.time_large()
        for _ in range(1, ROUNDS):
            groups.step()
    except RetouchError as error:  # out of memory says enough too
        log.warning("engine.calibration_ended_early", reason=str(error))
    if groups is None:
        return Calibration()
    rates = groups.rates()
    budget = knee(rates) if len(rates) > 1 else None
    log.info("engine.calibrated", tokens_per_s=rates, token_budget=budget)
    return Calibration(budget, groups.pace())


def knee(rates: Mapping[int, float]) -> int:
    """The fewest tokens whose rate is nearly the best, from tokens per second by tokens.

    >>> knee({100: 50.0, 200: 88.0, 400: 100.0, 800: 99.0})
    200
    """
    best = max(rates.values())
    return min(tokens for tokens, rate in rates.items() if rate >= ENOUGH * best)


def pays(rates: Mapping[int, float]) -> bool:
    """Whether one of the two largest groups was the best by a margin; one alone may be bad luck.

    >>> pays({100: 50.0, 200: 92.0, 400: 91.0}), pays({100: 90.0, 200: 92.0, 400: 91.0})
    (True, False)
    """
    *before, last, largest = (0.0, *rates.values())
    return not before or max(last, largest) > max(before) / ENOUGH


def _doubled(most: int) -> Iterator[int]:
    """1, 2, 4 ... at most `most`, but 1 in any case."""
    count = 1
    while count <= max(1, most):
        yield count
        count *= 2


class _Groups:
    """Groups of small pictures, and the shortest pass that each was seen to take."""

    def __init__(self, family: Family, clock: Clock, *, ends_at: float) -> None:
        self.plan = family.plan(EDIT, [], 0)
        self._family, self._clock, self._ends_at = family, clock, ends_at
        self._sessions: dict[int, list[Any]] = {}  # by the size of the group
        self._shortest_s: dict[int, float] = {}
        self._large: tuple[float, float] | None = None  # cost and shortest time of a large step

    @property
    def is_over(self) -> bool:
        """Whether the time to measure is."""
        return self._clock.monotonic() >= self._ends_at

    def open(self, count: int) -> None:
        """A group of so many, timed once; the first one is warmed up."""
        sessions = [self._family.open(self.plan, EDIT, []) for _ in range(count)]
        if not self._sessions and self.plan.steps > 1:
            self._family.step(sessions)
        self._sessions[count] = sessions
        self._time(count)

    def time_large(self) -> None:
        """A large picture alone, when there should be time for it."""
        plan = self._family.plan(LARGE, [], 0)
        cost = self._family.cost(plan)
        expected_s = self._shortest_s[1] * cost / self._family.cost(self.plan)
        if self._clock.monotonic() + LARGE_TIMES * expected_s >= self._ends_at:
            return
        session = self._family.open(plan, LARGE, [])
        self._large = cost, min(self._timed([session]) for _ in range(LARGE_TIMES))

    def step(self) -> None:
        """Every group once more, while there is time."""
        for count in self._sessions:
            if self.is_over:
                return
            self._time(count)

    def rates(self) -> dict[int, float]:
        """Tokens per second by the tokens of a group. No group is faster than a smaller one: then
        the smaller one was disturbed."""
        times = list(self._shortest_s.values())
        return {
            count * self.plan.tokens: count * self.plan.tokens / max(min(times[place:]), 1e-9)
            for place, count in enumerate(self._shortest_s)
        }

    def pace(self) -> Pace:
        """Of the shortest passes, and what a step costs beside its picture.

        That is told by what a small picture alone takes longer for its cost, than in a good group
        and than a large one: families count operations, and a device gets through fewer of a small
        picture's in a second. The most of both, since disturbed passes only ever hide it.
        """
        cost, rates = self._family.cost(self.plan), list(self.rates().values())
        if not rates:
            return Pace()
        in_groups = cost * (max(rates) / rates[0] - 1)
        pace = Pace(overhead=max(in_groups, self._overhead_by_large(cost, self._shortest_s[1])))
        for count, took_s in self._shortest_s.items():
            pace = pace.timed(count * (cost + pace.overhead), took_s)
        return pace

    def _overhead_by_large(self, cost: float, took_s: float) -> float:
        """What both a small step of this cost and time and the large one must cost more for their
        times to be in proportion; 0 when they cannot be."""
        if self._large is None or self._large[1] <= took_s:
            return 0.0
        large_cost, large_s = self._large
        return (large_cost * took_s - cost * large_s) / (large_s - took_s)

    def _time(self, count: int) -> None:
        took_s = self._timed(self._sessions[count])
        self._shortest_s[count] = min(took_s, self._shortest_s.get(count, took_s))

    def _timed(self, sessions: list[Any]) -> float:
        started = self._clock.monotonic()
        self._family.step(sessions)
        return self._clock.monotonic() - started
