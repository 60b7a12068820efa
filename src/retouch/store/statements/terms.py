"""Terms that every statement uses: the database's clock and the order of claim."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.dml import ReturningUpdate

from retouch.store.tables import deliveries, predictions

Query = sa.Select[*tuple[Any, ...]]
Moved = ReturningUpdate[*tuple[Any, ...]]

p, d = predictions.c, deliveries.c


class Now(sa.sql.expression.FunctionElement[float]):
    """The database's clock, UTC seconds since 1970, when the statement runs."""

    inherit_cache = True
    type = sa.Double()


@compiles(Now, "postgresql")
def _now_postgresql(_element: Now, _compiler: Any, **_options: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(Now, "sqlite")
def _now_sqlite(_element: Now, _compiler: Any, **_options: Any) -> str:
    # unixepoch('subsec') needs SQLite 3.42; a Julian day is exact to the millisecond.
    return "((julianday('now') - 2440587.5) * 86400.0)"


NOW = Now()
TURN = (p.priority.desc(), p.tag, p.seq)
"""Order of claim: priority, then fair tag, then age."""


def several(name: str) -> sa.BindParameter[Any]:
    """A list that is given by this name when the statement is run.

    Building a statement costs several times what running it does, so those that run at every
    create and every look are built once.
    """
    return sa.bindparam(name, expanding=True)


def run_once(rows: sa.Select[Any]) -> sa.Select[Any]:
    """Rows that are chosen once, however often the statement around them looks."""
    # As a plain subquery PostgreSQL may run it again and so exceed its LIMIT.
    chosen = rows.cte("chosen").prefix_with("MATERIALIZED", dialect="postgresql")
    return sa.select(*chosen.columns)
