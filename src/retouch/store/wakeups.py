"""Hints that the table may have changed. Losing one costs a poll, never a prediction.

Our own writes ring at once. Other processes' writes arrive by PostgreSQL's LISTEN/NOTIFY or by
SQLite's `data_version`, which is polled while somebody waits.
"""

import asyncio
import sqlite3
from typing import Any

import structlog

from retouch.store.database import Postgres, Sqlite, is_outage

log = structlog.get_logger(__name__)

_CHANNEL = "retouch_changed"
_POLL_S = 0.02
_RECONNECT_S = 0.5


class Bell:
    """Wakes everybody who waits, each time it rings."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._waiters = 0

    async def start(self) -> None:
        """Begin to hear other processes."""

    async def stop(self) -> None:
        """Stop hearing. Safe to call twice."""

    def tell(self) -> None:
        """We wrote: wake this process now and the others soon."""
        self.ring()

    def ring(self) -> None:
        """Wake everybody in this process."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self, timeout_s: float) -> None:
        """Return at the next ring, at the latest after the timeout."""
        event = self._event
        self._waiters += 1
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._waiters -= 1


class SqliteBell(Bell):
    """Rings when any other connection has committed to the file."""

    def __init__(self, database: Sqlite) -> None:
        super().__init__()
        self._path = database.url.database or ""
        self._connection: sqlite3.Connection | None = None
        self._polling: asyncio.Task[None] | None = None
        self._version = -1

    async def start(self) -> None:
        if self._connection is None:
            self._connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False
            )

    async def stop(self) -> None:
        await _end(self._polling)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def wait(self, timeout_s: float) -> None:
        if self._connection is not None and (self._polling is None or self._polling.done()):
            self._polling = asyncio.create_task(self._poll(self._connection))
        await super().wait(timeout_s)

    async def _poll(self, connection: sqlite3.Connection) -> None:
        while self._waiters:
            # Reads one number of shared memory: not worth a thread.
            ((version,),) = connection.execute("PRAGMA data_version")
            if version != self._version:
                self._version = version
                self.ring()
            await asyncio.sleep(_POLL_S)


class PostgresBell(Bell):
    """Rings on NOTIFY, over one connection that also sends ours.

    A notice is sent after the commit it speaks of and never waited for: NOTIFY inside the
    transaction would make every commit queue on one lock, and many writes share one notice.
    """

    def __init__(self, database: Postgres) -> None:
        super().__init__()
        self._engine = database.engine
        self._listening: asyncio.Task[None] | None = None
        self._unsent = asyncio.Event()

    async def start(self) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        task, self._listening = self._listening, None
        await _end(task)

    def tell(self) -> None:
        self.ring()
        self._unsent.set()

    async def _listen(self) -> None:
        while True:
            try:
                async with self._engine.connect() as connection:
                    raw: Any = (await connection.get_raw_connection()).driver_connection
                    try:
                        await self._serve(raw)
                    except Exception:
                        if not raw.is_closed():
                            raise
                    finally:
                        if raw.is_closed():  # or the pool would hand it out again
                            await connection.invalidate()
            except Exception as error:
                if not is_outage(error):
                    log.exception("store.listen_failed")  # who waits goes on polling
            await asyncio.sleep(_RECONNECT_S)
            self.ring()

    async def _serve(self, raw: Any) -> None:
        own = raw.get_server_pid()

        def heard(_connection: Any, pid: int, _channel: str, _payload: str) -> None:
            if pid != own:
                self.ring()

        raw.add_termination_listener(lambda _: self._unsent.set())
        await raw.add_listener(_CHANNEL, heard)
        try:
            while not raw.is_closed():
                await self._unsent.wait()
                self._unsent.clear()
                if not raw.is_closed():
                    await raw.execute(f"NOTIFY {_CHANNEL}")
        finally:
            if not raw.is_closed():
                await raw.remove_listener(_CHANNEL, heard)


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
