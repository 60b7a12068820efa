"""Connections, transactions and retries on one SQLite file or one PostgreSQL database.

What differs between the two, beyond the clock (`statements`) and wake-ups (`wakeups`), is here:
SQLite's pragmas, its threads, and its single writer, for which writes of one process queue on a
lock and those of several try again and again.
"""

import asyncio
import inspect
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from retouch.domain.errors import Busy, RetouchError

T = TypeVar("T")
Work = Callable[[sa.Connection], T]

_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}
_PARAMETERS = {"sslmode": "ssl"}
"""What libpq calls a parameter of a URL, and what our driver does."""
_BUSY_S = 5.0
"""How long a SQLite file may stay locked before that is an outage."""
_LOCKED_PAUSE_S = 0.001
_LOG_PAGES = 4000
"""How long SQLite's log grows, in pages of 4 KB, before a commit carries it over into the file,
which that commit's creates wait for. At 1000, as it comes, a busy server does so several times a
second; up to about 4000 a page is found in the log by one look."""
_PRAGMAS = (
    f"busy_timeout = {_BUSY_S * 1000:.0f}",
    "journal_mode = WAL",
    "synchronous = FULL",
    f"wal_autocheckpoint = {_LOG_PAGES}",
    "foreign_keys = ON",
)
_PAUSES_S = (0.05, 0.2, 0.5)
"""Waits between tries while the database cannot be reached."""

# Locked by another program, or the disk is full or broken.
_SQLITE_OUTAGES = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
)
# Serialisation failure, deadlock, too many connections; the classes 08 and 57P are below.
_TRANSIENT_STATES = frozenset({"40001", "40P01", "53300"})


class UnusableDatabase(RetouchError):
    """A database that this program cannot run on; the message says why, without its password."""


class _CommitUnknown(Exception):
    """The connection or the disk broke during COMMIT: nobody can tell whether it happened."""


@contextmanager
def _doubted() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if is_outage(error):
            raise _CommitUnknown from error
        raise


class Database:
    """One way to read and one way to write. A piece of work is a function of a connection."""

    def __init__(self, url: URL) -> None:
        self.url = url

    async def read(self, work: Work[T]) -> T:
        """Run a query that stands alone, again after a connection error; raises Busy."""
        return await _patiently(lambda: self._read(work))

    async def write(self, work: Work[T]) -> T:
        """Run a transaction; it is durable on return.

        Runs again when the connection broke before COMMIT. Raises Busy when the database stays
        away, and when it went away during COMMIT, which must not be repeated blindly.
        """
        return await _patiently(lambda: self._write(work))

    async def dispose(self) -> None:
        """Close every connection. Safe to call twice."""
        raise NotImplementedError

    async def _read(self, work: Work[T]) -> T:
        raise NotImplementedError

    async def _write(self, work: Work[T]) -> T:
        raise NotImplementedError


class Sqlite(Database):
    """A file. Each piece of work runs whole in one thread: a hop per verb, not per statement."""

    def __init__(self, url: URL, pool_size: int) -> None:
        super().__init__(url)
        self._readers = _connections(url, pool_size)
        self._writer = _connections(url, 1, "busy_timeout = 0")  # `_begin` has its own patience
        self._threads = ThreadPoolExecutor(pool_size, thread_name_prefix="retouch-sqlite")
        self._writing = asyncio.Lock()

    async def dispose(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        self._readers.dispose()
        self._writer.dispose()

    async def _read(self, work: Work[T]) -> T:
        def run() -> T:
            with self._readers.connect() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    async def _write(self, work: Work[T]) -> T:
        def run() -> T:
            with self._writer.connect() as connection:
                _begin(connection)
                result = work(connection)
                with _doubted():
                    connection.commit()
                return result

        async with self._writing:
            return await asyncio.get_running_loop().run_in_executor(self._threads, run)


class Postgres(Database):
    """A server."""

    def __init__(self, url: URL, pool_size: int) -> None:
        super().__init__(url)
        self.engine = create_async_engine(
            url, isolation_level="AUTOCOMMIT", pool_size=pool_size, max_overflow=0
        )
        self._writer = self.engine.execution_options(isolation_level="READ COMMITTED")

    async def dispose(self) -> None:
        await self.engine.dispose()

    async def _read(self, work: Work[T]) -> T:
        async with self.engine.connect() as connection:
            return await connection.run_sync(work)

    async def _write(self, work: Work[T]) -> T:
        async with self._writer.connect() as connection:
            result = await connection.run_sync(work)
            with _doubted():
                await connection.commit()
            return result


def open_database(url: str, *, pool_size: int = 5) -> Sqlite | Postgres:
    """The database at a URL, with at most `pool_size` connections, opened when needed."""
    parsed = parse_url(url)
    made = Sqlite if parsed.get_backend_name() == "sqlite" else Postgres
    return made(parsed, pool_size)


def parse_url(url: str) -> URL:
    """The URL with the driver we use; raises UnusableDatabase for what we cannot run on."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # what they say may hold a part of the password
        raise UnusableDatabase(
            "the database URL cannot be read: write sqlite:///path/to/file.db or "
            "postgresql://user:password@host:5432/name, each part percent-encoded"
        ) from None
    backend = parsed.get_backend_name()
    if backend not in _DRIVERS:
        raise UnusableDatabase(
            f"database URL {parsed!r} must start with sqlite:/// or postgresql://"
        )
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UnusableDatabase("a SQLite URL must name a file: sqlite:///path/to/file.db")
    return _understood(parsed.set(drivername=_DRIVERS[backend]))


def _understood(url: URL) -> URL:
    """A PostgreSQL URL's parameters in the words of the driver, as other programs spell them."""
    if url.get_backend_name() == "sqlite":
        return url
    try:
        import asyncpg
    except ImportError:
        words = "PostgreSQL needs asyncpg; run in retouch's checkout: pip install '.[postgres]'"
        raise UnusableDatabase(words) from None
    query = {_PARAMETERS.get(name, name): value for name, value in url.query.items()}
    known = {*inspect.signature(asyncpg.connect).parameters, "prepared_statement_cache_size"}
    if strange := sorted(set(query) - known):
        raise UnusableDatabase(
            f"the database URL's parameter {strange[0]!r} means nothing to this program; "
            f"take it out"
        )
    return url.set(query=query)


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
        return code & 0xFF in _SQLITE_OUTAGES
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


def _connections(url: URL, most: int, *more: str) -> sa.Engine:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", pool_size=most, max_overflow=0)

    def set_pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in (*_PRAGMAS, *more):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    sa.event.listen(engine, "connect", set_pragmas)
    return engine


def _begin(connection: sa.Connection) -> None:
    """Take SQLite's one write lock.

    SQLite's own patience sleeps up to 0.1 s between two tries, while other processes come and go.
    """
    raw: Any = connection.connection.driver_connection
    until = time.monotonic() + _BUSY_S
    while True:
        try:
            raw.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            is_locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_locked or time.monotonic() > until:
                raise
            time.sleep(_LOCKED_PAUSE_S)
        else:
            connection.begin()  # for SQLAlchemy to know; it sends nothing
            return
