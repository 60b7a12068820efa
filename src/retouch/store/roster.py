"""The store's list of processes that are up."""

from collections.abc import Sequence

import sqlalchemy as sa

from retouch.ports import Enlisted, ProcessKind, Roster
from retouch.store.database import Database
from retouch.store.statements import roster as say


class SqlRoster(Roster):
    """The `Roster` port, for a store that has a database."""

    _database: Database

    async def enlist(self, process: Enlisted) -> None:
        await self._do(say.enlist(process))

    async def strike(self, name: str) -> None:
        await self._do(say.strike(name))

    async def strike_silent(self, *, for_s: float) -> None:
        await self._do(say.strike_silent(for_s))

    async def enlisted(self, *, within_s: float) -> Sequence[Enlisted]:
        def fetch(connection: sa.Connection) -> list[Enlisted]:
            found = connection.execute(say.enlisted(within_s)).all()
            return [Enlisted(row.name, ProcessKind(row.kind), row.figures) for row in found]

        return await self._database.read(fetch)

    async def _do(self, statement: sa.Insert | sa.Delete) -> None:
        await self._database.write(lambda connection: connection.execute(statement))
