"""A copy of a SQLite database as of one moment, taken while others write to it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from retouch.store.database import create_file, parse_url, require_file

PAGES_AT_ONCE = 1024


def snapshot(url: str, to: Path) -> None:
    """Copy the SQLite database at `url` into a new file, readable by its owner alone.

    Raises ValueError for any other kind of database.
    """
    source = parse_url(url)
    if source.get_backend_name() != "sqlite":
        raise ValueError("only a SQLite database is copied here; use pg_dump for PostgreSQL")
    require_file(source)
    create_file(parse_url(f"sqlite:///{to.absolute()}"))
    _copy(source.database or "", to)


def _copy(source: str, to: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(to)) as new:
        old.execute("PRAGMA busy_timeout = 5000")
        # A read transaction of its own: whoever writes meanwhile does not make it start again.
        old.execute("BEGIN")
        old.execute("SELECT count(*) FROM sqlite_master").fetchone()
        old.backup(new, pages=PAGES_AT_ONCE)
        new.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
