"""A short measurement before the first job: how fast the device is, and what one pass should carry.

A forward pass of few tokens wastes the device, one of more than it can use at once only makes
everybody in it wait. The budget is where that turns: the fewest tokens at which a pass gets nearly
all the tokens per second there are to be had.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from retouch.domain.edit import Edit, Size
from retouch.domain.errors import RetouchError
from retouch.engine.pace import Pace
from retouch.ports import Clock, Family, Plan

log = logging.getLogger(__name__)

EDIT = Edit(prompt="calibration", size=Size(128, 128), seed=0)
ENOUGH = 0.9
"""The share of the best tokens per second that a budget must reach."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was learned; `token_budget` is None when passes could not be compared."""

    token_budget: int | None = None
    pace: Pace = field(default_factory=Pace)


def calibrate(
    family: Family, clock: Clock, *, limit_s: float = 1.0, most_tokens: int = 16_384
) -> Calibration:
    """Step ever larger groups of small pictures until that pays no more, or `limit_s` is over.

    It ends with the pass that reaches the limit. A family that cannot be measured this way is
    left to learn from its first job.
    """
    rates: dict[int, float] = {}
    pace = Pace()
    try:
        plan = family.plan(EDIT, [], 0)
        for count, took_s in _passes(family, clock, plan, limit_s):
            rates[count * plan.tokens] = count * plan.tokens / max(took_s, 1e-9)
            pace = pace.timed(count * family.cost(plan), took_s)
            if not _pays(rates) or 2 * count * plan.tokens > most_tokens:
                break
    except RetouchError as error:  # out of memory says enough too
        log.warning("calibration_ended_early: %s", error)
    budget = knee(rates) if len(rates) > 1 else None
    log.info("calibrated tokens_per_s=%s budget=%s", rates, budget)
    return Calibration(budget, pace)


def knee(rates: Mapping[int, float]) -> int:
    """The fewest tokens whose rate is nearly the best, from tokens per second by tokens.

    >>> knee({100: 50.0, 200: 92.0, 400: 100.0, 800: 99.0})
    200
    """
    best = max(rates.values())
    return min(tokens for tokens, rate in rates.items() if rate >= ENOUGH * best)


def _passes(
    family: Family, clock: Clock, plan: Plan, limit_s: float
) -> Iterator[tuple[int, float]]:
    """Groups of 1, 2, 4 ... pictures and the seconds of a pass, the first one warmed up."""
    ends_at = clock.monotonic() + limit_s
    count, warm = 1, False
    while clock.monotonic() < ends_at or count == 1:
        sessions: list[Any] = [family.open(plan, EDIT, []) for _ in range(count)]
        if not warm and plan.steps > 1:
            family.step(sessions)
            warm = True
        started = clock.monotonic()
        family.step(sessions)
        yield count, clock.monotonic() - started
        count *= 2


def _pays(rates: Mapping[int, float]) -> bool:
    """Whether the largest group was still the best by a margin."""
    *before, last = rates.values()
    return not before or last > max(before) / ENOUGH
