"""The durable queue of predictions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from retouch.domain.grant import NO_LIMITS, Limits
from retouch.domain.prediction import Event, Fence, Kept, Loss, Move, Prediction, Progress, Status


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list ordered newest first: strictly after this one."""

    created_at: float
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Conditions on the predictions of an owner that a list shows."""

    created_after: float | None = None  # at or after
    created_before: float | None = None  # strictly before
    intact: bool = False  # only those whose record is kept


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a worker's beat: the predictions that it named and no longer holds.

    `canceled` were cancelled by their owner; `lost` went to somebody else or are over. Either
    way the worker drops them.
    """

    canceled: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()


ONCE_WITHIN_S = 86_400.0
"""How long the `once` of a prediction cannot be used for another one."""


class Store(Protocol):
    """The prediction table: the queue and the only truth. Each verb is one transaction.

    Every verb raises Busy when the database stays away. A Busy may come out of a commit that did
    happen: look before doing it again.
    """

    async def add(
        self,
        prediction: Prediction,
        *,
        fingerprint: str | None = None,
        once: str | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        """Put a queued prediction on disk, with its `created` event. Returns once it is durable.

        `fingerprint` identifies the request for `twin`; of all that are added under one `once`
        in `ONCE_WITHIN_S` the first alone is. Concurrent calls may share a commit. For its own
        caller only, a taken id or `once` raises ValueError, `limits` that are reached Throttled
        or Full; however many add at once, no limit is passed.
        """

    async def first(self, once: str) -> tuple[Prediction, str | None] | None:
        """The prediction added under `once` in the last `ONCE_WITHIN_S`, and its fingerprint."""

    async def twin(self, owner: str, fingerprint: str, *, within_s: float) -> Prediction | None:
        """The owner's newest prediction with this fingerprint made in the last `within_s`."""

    async def get(self, id: str, *, owner: str | None = None) -> Prediction | None:
        """One prediction, or None when it is unknown or not this owner's (None: anybody's)."""

    async def statuses(self, ids: Collection[str]) -> Mapping[str, str]:
        """The status of each known id, in one query: what waiters follow."""

    async def standings(self, ids: Collection[str]) -> Mapping[str, tuple[Status, int]]:
        """The status and the attempt of each known id, in one query."""

    async def page(
        self,
        owner: str | None,
        *,
        limit: int,
        after: Cursor | None = None,
        where: Filter = Filter(),
    ) -> Sequence[Prediction]:
        """Up to `limit` predictions, newest first, by (created_at, id)."""

    async def position(self, id: str) -> int | None:
        """How many queued predictions would be claimed before this one; None unless queued."""

    async def claim(self, worker: str, *, limit: int, lease_s: float) -> Sequence[Prediction]:
        """Start up to `limit` queued predictions: priority first, then fair tag, then age.

        Each comes back running, attempt counted, held by `worker` until the lease lapses.
        No prediction is ever given to two callers at once. One that a worker crashed under
        comes alone, to a worker that holds nothing, and what is behind it waits.
        """

    async def advance(
        self, id: str, move: Move, *, fence: Fence | None = None
    ) -> Prediction | None:
        """Apply a move and record its event, atomically; the prediction after it, or None.

        None means the move lost a race: the row has left the states the move may leave, or the
        fence no longer holds. Nothing was written then.
        """

    async def beat(
        self, worker: str, held: Mapping[str, tuple[int, Progress | None]], *, lease_s: float
    ) -> Beat:
        """Renew the leases of a snapshot of held ids ({id: (attempt, progress)}), publish progress.

        Only named ids are renewed, so one claimed while the beat is in flight is untouched.
        """

    async def drop_previews(self, *, ended_for_s: float, limit: int) -> Sequence[str]:
        """Forget the previews of predictions ended for at least so long; returns those ids."""

    async def release(
        self, worker: str | None = None, *, loss: Loss = "abandoned"
    ) -> Sequence[Prediction]:
        """Requeue the predictions of a lost worker; with None, those of every lapsed lease.

        One that has spent its attempts or its crashes fails instead. Returns the predictions it
        moved.
        """

    async def expire(self) -> Sequence[Prediction]:
        """Cancel (by `deadline`) whatever is past its deadline, and fail what waits past its
        `start_by`, which a claim clears; the predictions it moved.
        """

    async def outdated(
        self, kept: Kept, *, keep_s: float | None, now: float, limit: int
    ) -> Sequence[Prediction]:
        """Up to `limit` predictions that still have this though they were over for long enough by
        `now`: for their own time, or, for those without one, `keep_s` (None: for ever).
        """

    async def erase(self, ids: Collection[str], kept: Kept) -> int:
        """Forget this of predictions that are over; its bytes are gone already.

        The record goes with its events, its webhook and what that was to be told; id, owner,
        model, status and times stay. Those with nothing of it are passed over; how many had some.
        """

    async def events(self, id: str, *, after: int = 0) -> Sequence[Event]:
        """The prediction's events with seq > after, in order."""

    async def changed(self, timeout_s: float) -> None:
        """Return when the table may have changed, at the latest after the timeout. A hint only."""

    async def depth(self) -> Mapping[str, int]:
        """How many predictions stand in each status that is not final."""

    async def oldest_wait_s(self) -> float | None:
        """Seconds that the oldest queued prediction has waited; None when none is queued."""

    async def start(self) -> None:
        """Open connections; the schema must be current."""

    async def stop(self) -> None:
        """Close them. Safe to call twice."""
