"""Keeps a worker on the roster while it runs."""

import structlog

from retouch.domain.errors import Busy
from retouch.ports import Roster
from retouch.service.meters import WorkerMeters
from retouch.service.periodic import Periodic

log = structlog.get_logger(__name__)

EVERY_S = 5.0


class Enlistment:
    """Tells the roster every few seconds that a worker is up, and what it measured."""

    def __init__(self, worker: str, *, roster: Roster, meters: WorkerMeters) -> None:
        self._worker, self._roster, self._meters = worker, roster, meters
        self._telling = Periodic("roster", self._tell, every_s=EVERY_S)

    async def start(self) -> None:
        """Enlist, and go on doing so."""
        await self._telling.start()

    async def stop(self) -> None:
        """Leave the roster; a database that is away forgets the worker by itself."""
        await self._telling.stop()
        try:
            await self._roster.strike(self._worker)
        except Busy:
            log.warning("roster.strike_failed", worker=self._worker)

    async def _tell(self) -> None:
        await self._roster.enlist(self._worker, self._meters.figures())
