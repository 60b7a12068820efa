"""Every test of this folder runs on memory, SQLite and PostgreSQL.

PostgreSQL is a throwaway server started from the binaries of this machine; where there are none
its tests are skipped.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from bench.shared.postgres import NotInstalled, Postgres, throwaway
from retouch.domain.edit import Edit
from retouch.domain.prediction import Prediction
from retouch.store import SqlStore, migrate
from retouch.testing import FakeClock, MemoryStore

AnyStore = SqlStore | MemoryStore


@dataclass
class Lab:
    """A fresh, empty database and the stores opened on it."""

    url: str | None  # None: memory
    store: AnyStore
    _stack: AsyncExitStack
    _ids: Iterator[int] = field(default_factory=count)

    async def another(self) -> AnyStore:
        """A second store on the same database; the same one in memory."""
        if self.url is None:
            return self.store
        return await self._stack.enter_async_context(_opened(SqlStore(self.url)))

    def make(self, id: str | None = None, **fields: object) -> Prediction:
        """A prediction with an id of its own, younger than the last."""
        number = next(self._ids)
        defaults = {
            "id": id or f"p{number:04}",
            "owner": "ada",
            "protocol": "replicate",
            "model": "black-forest-labs/flux-kontext-pro",
            "input": {"prompt": "make it snow"},
            "edit": Edit(prompt="make it snow"),
            "created_at": 1_000_000.0 + number,
        }
        return Prediction(**(defaults | fields))

    async def add(self, id: str | None = None, **fields: object) -> Prediction:
        """Make one and store it."""
        prediction = self.make(id, **fields)
        await self.store.add(prediction)
        return prediction


class _opened:  # noqa: N801  used as a function
    def __init__(self, store: AnyStore) -> None:
        self._store = store

    async def __aenter__(self) -> AnyStore:
        await self._store.start()
        return self._store

    async def __aexit__(self, *_: object) -> None:
        await self._store.stop()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """The URL of an empty, migrated database; None for memory."""
    if request.param == "memory":
        return None
    if request.param == "sqlite":
        file = tmp_path / "retouch.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
        return f"sqlite:///{file}"
    return request.getfixturevalue("postgres").emptied()


@pytest.fixture
async def lab(database_url: str | None) -> AsyncIterator[Lab]:
    """A started store and its database."""
    async with AsyncExitStack() as stack:
        made = MemoryStore(FakeClock()) if database_url is None else SqlStore(database_url)
        yield Lab(database_url, await stack.enter_async_context(_opened(made)), stack)


@pytest.fixture
def store(lab: Lab) -> AnyStore:
    """The started store."""
    return lab.store


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file, copied for each test."""
    file = tmp_path_factory.mktemp("template") / "retouch.db"
    asyncio.run(migrate(f"sqlite:///{file}"))
    return file


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole session."""
    with _server() as server:
        yield server


@pytest.fixture
def spare_postgres() -> Iterator[Postgres]:
    """A server that the test may break."""
    with _server() as server:
        yield server


@contextmanager
def _server() -> Iterator[Postgres]:
    try:
        with throwaway() as server:
            yield server
    except NotInstalled as reason:
        pytest.skip(str(reason))
