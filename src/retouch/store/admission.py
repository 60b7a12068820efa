"""Who is let into the queue. Counted in the very transaction that inserts, so no limit is passed.

`Tally` holds the rules and is pure; `Admission` counts for it in a database.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from retouch.domain.errors import Full, LongQueue, RetouchError, Throttled
from retouch.domain.grant import NO_LIMITS, Limits
from retouch.store.statements import creating, reading

Wanted = tuple[str, Limits]
"""An owner who wants to create one prediction, and what that is held to."""


@dataclass(slots=True)
class Tally:
    """What is there before a batch is let in; grows with each that is."""

    now: float
    queued: int = 0
    in_flight: dict[str, int] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)  # until when, for owners with a rate

    def refusal(self, owner: str, limits: Limits) -> RetouchError | None:
        """Why this one may not come in; None, and it is counted, if it may."""
        error = self._over_in_flight(owner, limits) or self._over_rate(owner, limits)
        error = error or self._over_queue(limits)
        if error is None:
            self.queued += 1
            self.in_flight[owner] = self.in_flight.get(owner, 0) + 1
            if limits.rate is not None:
                self.spent[owner] = self._spent_after(owner, limits)
        return error

    def _over_queue(self, limits: Limits) -> RetouchError | None:
        if limits.max_queued is not None and self.queued >= limits.max_queued:
            return Full(limits.max_queued)
        if limits.max_ahead is not None and self.queued > limits.max_ahead:
            return LongQueue(self.queued, limits.max_ahead)
        return None

    def _over_in_flight(self, owner: str, limits: Limits) -> RetouchError | None:
        most = limits.max_in_flight
        is_over = most is not None and self.in_flight.get(owner, 0) >= most
        return Throttled.crowded(most) if most is not None and is_over else None

    def _over_rate(self, owner: str, limits: Limits) -> RetouchError | None:
        rate = limits.rate
        if rate is None:
            return None
        wait_s = self._spent_after(owner, limits) - self.now - rate.per_s
        # Half a share of slack: sums of fractions are not exact.
        return Throttled.hasty(rate, wait_s) if wait_s > rate.per_s / rate.count / 2 else None

    def _spent_after(self, owner: str, limits: Limits) -> float:
        """Each create spends its share of the time; nobody is ever ahead by more than all of it."""
        share = limits.rate.per_s / limits.rate.count if limits.rate else 0.0
        return max(self.spent.get(owner, 0.0), self.now) + share


class Admission:
    """Counts, as little as it can: the whole queue only when it may be full."""

    def __init__(self) -> None:
        # Never too few are unfinished: as many as once were, and every row numbered since.
        self._known: tuple[int, int] | None = None

    def refusals(
        self, connection: sa.Connection, batch: Sequence[Wanted]
    ) -> Mapping[int, RetouchError]:
        """The places in the batch of those who may not come in, and why."""
        if all(limits == NO_LIMITS for _, limits in batch):
            return {}
        self._hold(connection, batch)
        tally = self._tally(connection, batch)
        found = [tally.refusal(owner, limits) for owner, limits in batch]
        spent = [
            {"owner": owner, "spent_until": tally.spent[owner]}
            for owner in sorted({owner for owner, limits in batch if limits.rate})
            if owner in tally.spent
        ]
        if spent:
            connection.execute(creating.set_meter, spent)
        return {place: error for place, error in enumerate(found) if error is not None}

    def _hold(self, connection: sa.Connection, batch: Sequence[Wanted]) -> None:
        """PostgreSQL: let nobody else count the same until we have committed; SQLite has one
        writer. Always in one order, so that two batches never wait for each other."""
        if connection.dialect.name != "postgresql":
            return
        held = {f"owner {owner}" for owner, it in batch if it.max_in_flight is not None or it.rate}
        held |= {"queue" for _, limits in batch if _caps(limits)}
        for number in sorted(map(_number, held)):
            connection.execute(creating.lock(number))

    def _tally(self, connection: sa.Connection, batch: Sequence[Wanted]) -> Tally:
        counted = {owner for owner, limits in batch if limits.max_in_flight is not None}
        rated = {owner for owner, limits in batch if limits.rate is not None}
        caps = [cap for _, limits in batch for cap in _caps(limits)]
        tally = Tally(now=connection.execute(creating.now).scalar_one() if rated else 0.0)
        if counted:
            found = connection.execute(creating.unfinished_of, {"owners": sorted(counted)})
            tally.in_flight = {row.owner: row.total for row in found}
        if rated:
            found = connection.execute(creating.spent_by, {"owners": sorted(rated)})
            tally.spent = {row.owner: row.spent_until for row in found}
        if caps:
            tally.queued = self._queued(connection, min(caps) - len(batch))
        return tally

    def _queued(self, connection: sa.Connection, plenty: int) -> int:
        """How many are queued, or any larger number that is not over `plenty`."""
        highest: int = connection.execute(creating.highest_seq).scalar_one()
        if self._known is not None and highest >= self._known[1]:
            at_most = self._known[0] + highest - self._known[1]
            if at_most <= plenty:
                return at_most
        queued, running = connection.execute(reading.depth).one()
        self._known = (queued + running, highest)
        return int(queued)


def _caps(limits: Limits) -> list[int]:
    """The lengths of the queue at which one is refused."""
    ahead = None if limits.max_ahead is None else limits.max_ahead + 1
    return [cap for cap in (limits.max_queued, ahead) if cap is not None]


def _number(name: str) -> int:
    digest = hashlib.sha256(f"retouch {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
