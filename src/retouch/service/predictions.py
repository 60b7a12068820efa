"""Looking at predictions, cancelling them, and waiting for their end.

One follower task watches the table for everybody who waits; a waiter costs a future, not a query.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from retouch.domain.errors import NotFound
from retouch.domain.prediction import Cancel, Prediction, Status
from retouch.ports import Cursor, Filter, Store

log = structlog.get_logger(__name__)

SCAN_BATCH = 100
SCAN_LIMIT = 5000
"""How many predictions one page that must be searched for may cost."""


class Predictions:
    """Everything a caller may do with a prediction that exists. Start before waiting."""

    def __init__(self, store: Store, *, poll_s: float = 0.5) -> None:
        self._store, self._poll_s = store, poll_s
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._wanted = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._released = False
        self._unwatched = asyncio.Event()
        self._unwatched.set()

    async def get(self, id: str, owner: str | None) -> Prediction:
        """One prediction of this owner's (None: anybody's); raises NotFound."""
        prediction = await self._store.get(id, owner=owner)
        if prediction is None:
            raise NotFound("prediction", id)
        return prediction

    async def page(
        self,
        owner: str,
        *,
        limit: int,
        after: Cursor | None,
        where: Filter,
        skip: int = 0,
        keep: Callable[[Prediction], bool] | None = None,
    ) -> tuple[Sequence[Prediction], Cursor | None]:
        """A page, newest first, and where the next one starts; None at the end.

        `skip` leaves out that many before the page; `keep` says which ones count at all. With
        either, no more than `SCAN_LIMIT` predictions are looked at.
        """
        if skip or keep:
            found = await self._scan(owner, skip + limit + 1, after, where, keep)
        else:
            found = await self._store.page(owner, limit=limit + 1, after=after, where=where)
        page = found[skip : skip + limit]
        more = len(found) > skip + limit
        return page, Cursor(page[-1].created_at, page[-1].id) if more else None

    async def _scan(
        self,
        owner: str,
        wanted: int,
        after: Cursor | None,
        where: Filter,
        keep: Callable[[Prediction], bool] | None,
    ) -> Sequence[Prediction]:
        found: list[Prediction] = []
        for _ in range(SCAN_LIMIT // SCAN_BATCH):
            batch = await self._store.page(owner, limit=SCAN_BATCH, after=after, where=where)
            found += [it for it in batch if keep is None or keep(it)]
            if len(found) >= wanted or len(batch) < SCAN_BATCH:
                break
            after = Cursor(batch[-1].created_at, batch[-1].id)
        return found

    async def cancel(self, id: str, owner: str) -> tuple[Prediction, bool]:
        """Cancel, and whether that changed anything; what is over stays as it is.

        Raises NotFound.
        """
        await self.get(id, owner)
        moved = await self._store.advance(id, Cancel(by="owner"))
        return moved or await self.get(id, owner), moved is not None

    async def depth(self) -> Mapping[str, int]:
        """How many predictions stand in each status that is not final."""
        return await self._store.depth()

    async def oldest_wait_s(self) -> float | None:
        """For how long the longest waiting has waited; None when none waits."""
        return await self._store.oldest_wait_s()

    async def position(self, id: str) -> int | None:
        """Predictions ahead of this one; None unless it is queued."""
        return await self._store.position(id)

    # -- waiting ---------------------------------------------------------------------------------

    async def wait(self, id: str, timeout_s: float) -> bool:
        """Hold until the prediction is over, and whether it is; at most `timeout_s`."""
        if self._released:
            return False
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(id, set()).add(done)
        self._wanted.set()
        self._unwatched.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await done
        except TimeoutError:
            return False
        finally:
            self._forget(id, done)
        return not self._released

    @property
    def is_released(self) -> bool:
        """Whether the server is stopping and nobody is held any more."""
        return self._released

    async def unwatched(self, timeout_s: float) -> None:
        """Return once nobody waits, at the latest after the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._unwatched.wait()
        except TimeoutError:
            return

    def release(self) -> None:
        """Let everybody who waits go, and hold nobody from now on: the server is stopping."""
        self._released = True
        for id in list(self._waiting):
            self._resolve(id)

    async def start(self) -> None:
        """Begin to follow."""
        if self._follower is None:
            self._follower = asyncio.create_task(self._follow(), name="predictions-follower")

    async def stop(self) -> None:
        """Stop following and let waiters go. Safe to call twice."""
        self.release()
        tasks = [task for task in (self._follower, self._listener) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._follower = self._listener = None

    async def _follow(self) -> None:
        """Look whenever somebody new waits or the table may have changed; else sleep."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if not self._waiting:
                continue
            # Listening starts before looking, so a change in between is not missed.
            if self._listener is None or self._listener.done():
                self._listener = asyncio.create_task(self._listen(), name="predictions-listener")
                await asyncio.sleep(0)  # now it listens
            try:
                await self._look()
            except Exception:
                log.exception("predictions.follow_failed")

    async def _listen(self) -> None:
        try:
            await self._store.changed(self._poll_s)
        except Exception:
            log.exception("predictions.listen_failed")
            await asyncio.sleep(self._poll_s)
        self._wanted.set()

    async def _look(self) -> None:
        ids = tuple(self._waiting)
        statuses = await self._store.statuses(ids)
        for id in ids:
            if id not in statuses or Status(statuses[id]).is_final:
                self._resolve(id)

    def _resolve(self, id: str) -> None:
        for done in self._waiting.pop(id, ()):
            if not done.done():
                done.set_result(None)

    def _forget(self, id: str, done: asyncio.Future[None]) -> None:
        waiters = self._waiting.get(id, set())
        waiters.discard(done)
        if not waiters:
            self._waiting.pop(id, None)
        if not self._waiting:
            self._unwatched.set()
