"""Every test of this folder runs on memory, SQLite and PostgreSQL.

PostgreSQL is a throwaway server started from the binaries of this machine; where there are none
its tests are skipped.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import asyncpg
import pytest

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


class _opened:  # noqa: N801  (used as a function)
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
    return request.getfixturevalue("postgres").fresh()


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


class Postgres:
    """A throwaway server on a Unix socket in its own folder."""

    def __init__(self, binaries: Path, folder: Path, user: str | None) -> None:
        self._bin, self.folder, self._user = binaries, folder, user
        self._server: subprocess.Popen[bytes] | None = None
        self._names = count()

    def start(self) -> None:
        data = self.folder / "data"
        self._run("initdb", "-D", data, "-U", "retouch", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.launch()
        self._sql("CREATE DATABASE template_retouch")
        asyncio.run(migrate(self._url("template_retouch")))

    def launch(self) -> None:
        """Start the server on its data and wait until it answers."""
        settings = ("listen_addresses=", f"unix_socket_directories={self.folder}", "fsync=off")
        options = [part for setting in settings for part in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(  # noqa: S603
                [self._bin / "postgres", "-D", self.folder / "data", *options],
                stdout=log,
                stderr=log,
                user=self._user,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                return self._sql("SELECT 1")
            except (OSError, asyncpg.CannotConnectNowError):
                if time.monotonic() > deadline or self._server.poll() is not None:
                    raise
                time.sleep(0.05)

    def kill(self) -> None:
        """End the server as a crash would."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def fresh(self) -> str:
        """The URL of a new database with our tables and no rows."""
        name = f"t{next(self._names)}"
        self._sql(f"CREATE DATABASE {name} TEMPLATE template_retouch")
        return self._url(name)

    def stop(self) -> None:
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(signal.SIGQUIT)  # at once: nothing here is worth a checkpoint
            self._server.wait()

    def _url(self, database: str) -> str:
        return f"postgresql://retouch@/{database}?host={self.folder}"

    def _sql(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(
                host=str(self.folder), user="retouch", database="postgres"
            )
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(execute())

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [self._bin / program, *arguments]
        subprocess.run(command, check=True, capture_output=True, user=self._user)  # noqa: S603


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
    binaries = _postgres_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's initdb and postgres are not installed here")
    folder = Path(tempfile.mkdtemp(prefix="retouch-pg-"))  # short: it holds a socket
    server = Postgres(binaries, folder, _unprivileged(folder))
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _postgres_binaries() -> Path | None:
    on_path = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if on_path is not None:
        folders.insert(0, Path(on_path).resolve().parent)
    wanted = ("initdb", "postgres")
    return next((f for f in folders if all((f / name).is_file() for name in wanted)), None)


def _unprivileged(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root: give the folder to somebody else then."""
    if os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    shutil.chown(folder, user)
    return user
