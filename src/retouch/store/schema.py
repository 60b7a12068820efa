"""Bringing a database to this version's tables, and refusing to run on any other.

Alembic's scripts lie in `migrations/`; they run from here, on our own connection.
"""

from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from retouch.domain.errors import Busy
from retouch.store.database import (
    Database,
    Sqlite,
    UnusableDatabase,
    create_file,
    open_database,
    require_file,
)

_SCRIPTS = Path(__file__).with_name("migrations")
_LOCK = 7_236_885_203  # PostgreSQL advisory lock: one migration at a time


async def migrate(url: str) -> None:
    """Upgrade the database at `url` to this version's tables; creates a SQLite file.

    One transaction: it is done whole or not at all. Several processes may call it at once.
    Raises FileNotFoundError when a SQLite file's folder does not exist, UnusableDatabase when the
    database is of a newer version or will not have us, and Busy, both with what it said.
    """
    database = open_database(url)
    try:
        if isinstance(database, Sqlite):
            create_file(database.url)
        await database.write(_upgrade)
    except Busy as error:
        raise Busy(f"{error}: {error.__cause__}") from error
    except DBAPIError as error:
        raise UnusableDatabase(f"the database cannot be used: {error.orig}") from error
    finally:
        await database.dispose()


async def check(database: Database) -> None:
    """Raise RuntimeError unless the tables are exactly this version's."""
    require_file(database.url)

    def current(connection: sa.Connection) -> tuple[str, ...]:
        return MigrationContext.configure(connection).get_current_heads()

    found, wanted = set(await database.read(current)), set(head())
    if found != wanted:
        raise RuntimeError(
            f"the database's tables are at version {_name(found)}, "
            f"this program needs {_name(wanted)}; migrate the database first"
        )


@cache
def head() -> tuple[str, ...]:
    """The newest migration's revision; the scripts are read once."""
    return tuple(ScriptDirectory.from_config(_config()).get_heads())


def _upgrade(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    config = _config()
    found = set(MigrationContext.configure(connection).get_current_heads())
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found - known:
        raise UnusableDatabase(
            f"the database's tables are at version {_name(found)}, newer than the "
            f"{_name(set(head()))} of this program: install the newer one again, or restore the "
            f"backup from before the upgrade"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _name(heads: set[Any]) -> str:
    return ", ".join(sorted(heads)) or "none"
