"""The store's list of workers that are up."""

from collections.abc import Mapping

import sqlalchemy as sa

from retouch.ports import Roster
from retouch.store import statements as say
from retouch.store.database import Database


class SqlRoster(Roster):
    """The `Roster` port, for a store that has a database."""

    _database: Database

    async def enlist(self, worker: str, figures: str) -> None:
        await self._do(say.enlist(worker, figures))

    async def strike(self, worker: str) -> None:
        await self._do(say.strike(worker))

    async def strike_silent(self, *, for_s: float) -> None:
        await self._do(say.strike_silent(for_s))

    async def enlisted(self, *, within_s: float) -> Mapping[str, str]:
        def fetch(connection: sa.Connection) -> dict[str, str]:
            found = connection.execute(say.enlisted(within_s)).all()
            return {row.name: row.figures for row in found}

        return await self._database.read(fetch)

    async def _do(self, statement: sa.Insert | sa.Delete) -> None:
        await self._database.write(lambda connection: connection.execute(statement))
