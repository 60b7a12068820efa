"""Keeps a process on the roster while it runs."""

import structlog

from retouch.domain.errors import Busy
from retouch.ports import Enlisted, ProcessKind, Roster
from retouch.service.meters import Meters
from retouch.service.periodic import Periodic

log = structlog.get_logger(__name__)

EVERY_S = 5.0


class Enlistment:
    """Tells the roster every few seconds that a process is up, and what it measured."""

    def __init__(self, name: str, kind: ProcessKind, *, roster: Roster, meters: Meters) -> None:
        self._name, self._kind, self._roster, self._meters = name, kind, roster, meters
        self._telling = Periodic("roster", self._tell, every_s=EVERY_S)

    async def start(self) -> None:
        """Enlist, and go on doing so."""
        await self._telling.start()

    async def stop(self) -> None:
        """Leave the roster; a database that is away forgets the process by itself."""
        await self._telling.stop()
        try:
            await self._roster.strike(self._name)
        except Busy:
            log.warning("roster.strike_failed", name=self._name)

    async def _tell(self) -> None:
        await self._roster.enlist(Enlisted(self._name, self._kind, self._meters.figures()))
