"""A throwaway PostgreSQL server from the binaries of this machine, for tests and benchmarks."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import asyncpg

from retouch.store import migrate
from retouch.store.schema import head
from retouch.store.tables import metadata


class NotInstalled(Exception):
    """There is no PostgreSQL on this machine."""

    def __init__(self) -> None:
        super().__init__("PostgreSQL's initdb and postgres are not installed here")


@contextmanager
def throwaway() -> Iterator["Postgres"]:
    """A server that answers; it and all it holds are gone afterwards. Raises NotInstalled."""
    binaries = _binaries()
    if binaries is None:
        raise NotInstalled
    folder = Path(tempfile.mkdtemp(prefix="retouch-pg-"))  # short: it holds a socket
    server = Postgres(binaries, folder, _unprivileged(folder))
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


class Postgres:
    """A throwaway server on a Unix socket in its own folder."""

    def __init__(self, binaries: Path, folder: Path, user: str | None) -> None:
        self._bin, self.folder, self._user = binaries, folder, user
        self._server: subprocess.Popen[bytes] | None = None
        self._names = count()
        self._shared: str | None = None

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

    def emptied(self) -> str:
        """The URL of a database with our tables and no rows: the same one at every call.

        A tenth of the work of a fresh one. Whoever had it before must be done with it, and its
        counters go on.
        """
        if self._shared is None:
            self._shared = self.fresh()
        asyncio.run(_empty(self._shared))
        return self._shared

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


async def _empty(url: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"lock_timeout": "10s"})
    try:
        # Of a few rows: TRUNCATE makes every table and index anew, in ten times the time.
        await connection.execute(";".join(f"DELETE FROM {table}" for table in metadata.tables))  # noqa: S608  our own names
        await connection.execute("UPDATE alembic_version SET version_num = $1", *head())
    finally:
        await connection.close()


def _binaries() -> Path | None:
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
