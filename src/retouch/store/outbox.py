"""The store's half that webhooks are sent from. Moves fill it (`sql`), this empties it."""

from collections.abc import Sequence

import sqlalchemy as sa

from retouch.ports import Delivery, Outbox, Outcome
from retouch.store import rows
from retouch.store.database import Database
from retouch.store.statements import webhooks as say
from retouch.store.wakeups import Bell


class SqlOutbox(Outbox):
    """The `Outbox` port, for a store that has a database and a bell."""

    _database: Database
    _bell: Bell

    async def deliveries(
        self, *, limit: int, lease_s: float, sender: str = ""
    ) -> Sequence[Delivery]:
        def look(connection: sa.Connection) -> bool:
            return connection.execute(say.anything_due).first() is not None

        def claim(connection: sa.Connection) -> list[Delivery]:
            taken = connection.execute(say.due(limit, lease_s, sender)).all()
            return [rows.delivery_of_row(row) for row in taken]

        # A look first: whoever has nothing to send takes no write lock.
        if not await self._database.read(look):
            return []
        return sorted(await self._database.write(claim), key=lambda it: (it.created_at, it.id))

    async def release_deliveries(self, sender: str) -> int:
        result = await self._database.write(lambda c: c.execute(say.release_deliveries(sender)))
        if result.rowcount:
            self._bell.tell()
        return result.rowcount

    async def settle(self, delivery: Delivery, outcome: Outcome) -> bool:
        statement = say.settle(delivery.id, delivery.attempt, outcome)
        result = await self._database.write(lambda c: c.execute(statement))
        return result.rowcount == 1

    async def list_deliveries(self, *, limit: int) -> Sequence[Delivery]:
        def fetch(connection: sa.Connection) -> list[Delivery]:
            found = connection.execute(say.newest_deliveries(limit)).all()
            return [rows.delivery_of_row(row) for row in found]

        return await self._database.read(fetch)

    async def replay(self, id: str) -> Delivery | None:
        def rewind(connection: sa.Connection) -> rows.AnyRow | None:
            return connection.execute(say.replay(id)).one_or_none()

        row = await self._database.write(rewind)
        if row is None:
            return None
        self._bell.tell()
        return rows.delivery_of_row(row)
