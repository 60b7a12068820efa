"""Whether what is sent to this server would be stored and done."""

import asyncio
from collections.abc import Awaitable, Callable

from retouch.domain.errors import Busy
from retouch.ports import Blobs, ProcessKind, Roster

WITHIN_S = 4.0
"""How long every check together may take: less than whoever asks is likely to wait."""

HEARD_S = 15.0
"""How long a worker counts as up after it was last heard."""

FORGET_S = 86_400.0


class Readiness:
    """Asks the database, the pictures' store and the workers, at every call."""

    def __init__(
        self,
        *,
        roster: Roster,
        blobs: Blobs,
        require_room: Callable[[], None],
        own_worker: str = "",
        is_own_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """Of the worker beside this process, `own_worker`, `is_own_up` knows better than the
        roster.
        """
        self._roster, self._blobs, self._require_room = roster, blobs, require_room
        self._own_worker, self._is_own_up = own_worker, is_own_up

    async def missing(self) -> str | None:
        """The missing part, in a sentence for the operator; None when nothing is missing."""
        try:
            async with asyncio.timeout(WITHIN_S):
                self._require_room()
                await self._roster.strike_silent(for_s=FORGET_S)  # can the database be written?
                await self._reach_blobs()
                return None if await self._any_worker() else "the worker is not up yet"
        except Busy as error:
            return str(error)
        except TimeoutError:
            return f"the database or the storage did not answer within {WITHIN_S:g} s"

    async def _reach_blobs(self) -> None:
        # Not its size: of a key in a bucket that is gone a store says only that it is not there.
        await self._blobs.list("uploads/none")

    async def _any_worker(self) -> bool:
        if self._is_own_up():
            return True
        up = await self._roster.enlisted(within_s=HEARD_S)
        return any(it.kind is ProcessKind.WORKER and it.name != self._own_worker for it in up)


class Startup:
    """Whether a server was ever ready. Once it was, nothing that fails later undoes that."""

    def __init__(self, missing: Callable[[], Awaitable[str | None]]) -> None:
        """`missing` says what the server lacks to be ready."""
        self._missing = missing
        self._is_over = False

    async def missing(self) -> str | None:
        """What is still waited for; None once nothing was."""
        if self._is_over:
            return None
        found = await self._missing()
        self._is_over = found is None
        return found
