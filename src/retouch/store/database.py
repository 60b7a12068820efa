"""Connections, transactions and retries on one SQLite file or one PostgreSQL database.

What differs between the two, beyond the clock (`statements`) and wake-ups (`wakeups`), is here:
SQLite's pragmas, and its single writer, for which writes of one process queue on a lock.
"""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from retouch.domain.errors import Busy

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}
_PRAGMAS = (
    "busy_timeout = 5000",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
)
_PAUSES_S = (0.05, 0.2, 0.5)
"""Waits between tries while the database cannot be reached."""

# Serialisation failure, deadlock, too many connections; the classes 08 and 57P are below.
_TRANSIENT_STATES = frozenset({"40001", "40P01", "53300"})


class _CommitUnknown(Exception):
    """The connection broke during COMMIT: nobody can tell whether it happened."""


class Database:
    """An engine with one way to read and one way to write."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self.url = parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = create_async_engine(
            self.url, isolation_level="AUTOCOMMIT", pool_size=pool_size, max_overflow=0
        )
        self._writing: AbstractAsyncContextManager[Any] = nullcontext()
        self._writer = self.engine
        if self.is_sqlite:
            self._writing = asyncio.Lock()
            sa.event.listen(self.engine.sync_engine, "connect", _set_pragmas)
        else:
            self._writer = self.engine.execution_options(isolation_level="READ COMMITTED")

    async def read(self, work: Work[T]) -> T:
        """Run a query that stands alone, again after a connection error; raises Busy."""

        async def attempt() -> T:
            async with self.engine.connect() as connection:
                return await work(connection)

        return await _patiently(attempt)

    async def write(self, work: Work[T]) -> T:
        """Run a transaction; it is durable on return.

        Runs again when the connection broke before COMMIT. Raises Busy when the database stays
        away, and when it went away during COMMIT, which must not be repeated blindly.
        """

        async def attempt() -> T:
            async with self._writing, self._writer.connect() as connection:
                if self.is_sqlite:
                    await connection.exec_driver_sql("BEGIN IMMEDIATE")
                result = await work(connection)
                try:
                    await connection.commit()
                except Exception as error:
                    if not self.is_sqlite and is_outage(error):
                        raise _CommitUnknown from error
                    raise
                return result

        return await _patiently(attempt)

    async def dispose(self) -> None:
        """Close every connection. Safe to call twice."""
        await self.engine.dispose()


def parse_url(url: str) -> URL:
    """The URL with the driver we use; raises ValueError for what we cannot run on."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend not in _DRIVERS:
        raise ValueError(f"database URL {url!r} must start with sqlite:/// or postgresql://")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError("a SQLite URL must name a file: sqlite:///path/to/file.db")
    return parsed.set(drivername=_DRIVERS[backend])


def create_file(url: URL) -> None:
    """Create an empty SQLite file only its owner can read; one that exists is left as it is."""
    path = Path(url.database or "")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder of the database does not exist: {path.parent}")
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def require_file(url: URL) -> None:
    """Raise RuntimeError when a SQLite file is missing, which connecting would create."""
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise RuntimeError(f"there is no database at {url.database}; migrate it first")


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the database is away or busy, not that we are wrong."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _is_transient(error.orig)
    return isinstance(error, OSError) or _is_transient(error)


def _is_transient(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return bool(code & 0xFF == sqlite3.SQLITE_BUSY)
    state = getattr(error, "sqlstate", None) or ""
    return state in _TRANSIENT_STATES or state.startswith(("08", "57P"))


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    for pause_s in (*_PAUSES_S, None):
        try:
            return await attempt()
        except _CommitUnknown as doubt:
            raise Busy("the database went away while it was saving; look before retrying") from (
                doubt.__cause__
            )
        except Exception as error:
            if not is_outage(error):
                raise
            if pause_s is None:
                raise Busy("the database cannot be reached") from error
            await asyncio.sleep(pause_s)
    raise AssertionError("unreachable")


def _set_pragmas(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
