"""Calls that arrive while a commit, or a look, runs share the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Generic, TypeVar

from retouch.domain.errors import Busy

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class Looks(Generic[K, V]):
    """Looks keys up together. Each look begins after its callers asked, so it misses nothing
    that was there when they did."""

    def __init__(
        self, look_up: Callable[[Collection[K]], Awaitable[Mapping[K, V]]], *, limit: int = 256
    ) -> None:
        self._look_up, self._limit = look_up, limit
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """The value of a key, None if it has none; raises the error of the look, if it failed."""
        found: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(found)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        return await found

    async def stop(self) -> None:
        """Wait for what was asked."""
        if self._task is not None:
            await self._task

    async def _look(self) -> None:
        while self._waiting:
            keys = list(self._waiting)[: self._limit]
            batch = {key: self._waiting.pop(key) for key in keys}
            try:
                values = await self._look_up(keys)
                for key, asking in batch.items():
                    for found in asking:
                        if not found.done():
                            found.set_result(values.get(key))
            except Exception as error:  # noqa: BLE001  raised to everybody who asked
                for found in _unanswered(batch):
                    found.set_exception(error)
            finally:
                for found in _unanswered(batch):  # only when this task itself is cancelled
                    found.cancel()


def _unanswered(
    batch: Mapping[K, Sequence[asyncio.Future[V | None]]],
) -> list[asyncio.Future[V | None]]:
    return [found for asking in batch.values() for found in asking if not found.done()]


class Batcher(Generic[T]):
    """Hands items to `commit` in batches; each caller returns once its own item is durable.

    `commit` answers with what it refused: the place of each such item, and the error its caller
    gets. When a batch fails its items are committed one by one, so that a bad one fails alone.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[T]], Awaitable[Mapping[int, Exception]]],
        *,
        limit: int = 256,
    ) -> None:
        self._commit = commit
        self._limit = limit
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> None:
        """Return once `item` is committed; raises what its commit raised.

        A caller that gives up before its batch is opened has committed nothing.
        """
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        await done

    async def stop(self) -> None:
        """Wait for what was submitted."""
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
            batch = [entry for entry in batch if not entry[1].done()]
            try:
                await self._settle(batch)
            finally:
                for _, done in batch:
                    done.cancel()  # only those left over when this task itself is cancelled

    async def _settle(self, batch: Sequence[tuple[T, asyncio.Future[None]]]) -> None:
        if not batch:
            return
        refused: Mapping[int, Exception] = {}
        outcome: Exception | None = None
        try:
            refused = await self._commit([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  raised to whoever submitted
            if len(batch) > 1 and not isinstance(error, Busy):
                for entry in batch:
                    await self._settle([entry])
                return
            outcome = error
        for place, (_, done) in enumerate(batch):
            if done.done():
                continue
            mine = outcome or refused.get(place)
            if mine is None:
                done.set_result(None)
            else:
                done.set_exception(mine)
