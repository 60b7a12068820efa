"""New rows, many at once, in the driver's own words.

SQLAlchemy looks at each value of each row before it hands them on, which costs about as much as
writing them. Here an insert is compiled once, and a row's values are taken in its order. Columns
that are null in all rows are left out: Python's SQLite driver takes each null for an object of ours
and looks for who could adapt it.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import sqlalchemy as sa


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all have the same columns, several of them; raises IntegrityError."""
    columns = tuple(name for name in rows[0] if any(row[name] is not None for row in rows))
    text, values_of = _spelled(table, connection.dialect, columns)
    connection.exec_driver_sql(text, [values_of(row) for row in rows])


@lru_cache(maxsize=256)
def _spelled(
    table: sa.Table, dialect: sa.Dialect, columns: tuple[str, ...]
) -> tuple[str, "itemgetter[str]"]:
    """The statement, and what takes its values from a row."""
    compiled: Any = sa.insert(table).compile(
        dialect=dialect, column_keys=columns, for_executemany=True
    )
    return str(compiled), itemgetter(*compiled.positiontup)
