"""Removes the blobs that a crash left behind: bytes that no row names.

Bytes are always written before the row that names them, so a crash leaves bytes too many, never
an accepted prediction without its pictures. What is younger than a margin may belong to a row that
is still to come. A sweep that is cut short is finished by the next one.
"""

from collections.abc import Sequence

import structlog

from retouch.domain.prediction import Status
from retouch.ports import Blobs, Clock, Files, Store

log = structlog.get_logger(__name__)

MARGIN_S = 3600.0
"""How old bytes are at least before nobody naming them means anything: longer than any request."""


class Reconciler:
    """Compares the blobs with the rows. Any number of them may sweep beside each other."""

    def __init__(self, *, store: Store, files: Files, blobs: Blobs, clock: Clock) -> None:
        self._store, self._files, self._blobs, self._clock = store, files, blobs, clock

    async def turn(self) -> int:
        """Remove every orphan that is old enough; returns their number."""
        before, removed = self._clock.now() - MARGIN_S, 0
        await self._blobs.tidy(before)
        async for keys in self._blobs.written_before(before):
            for key in await self._orphans(keys):
                await self._blobs.delete(key)
                removed += 1
        if removed:
            log.info("blobs.orphans_removed", count=removed)
        return removed

    async def _orphans(self, keys: Sequence[str]) -> list[str]:
        ids = {id for key in keys if (id := _prediction_id(key))}
        known = await self._store.standings(ids)
        return [key for key in keys if await self._is_orphan(key, known.get(_prediction_id(key)))]

    async def _is_orphan(self, key: str, standing: tuple[Status, int] | None) -> bool:
        match key.split("/"):
            case ["inputs", _, _]:
                return standing is None
            case ["uploads", id]:
                return await self._files.get_file(id) is None
            case [_, attempt, _] if attempt.isdecimal():
                return standing is None or _lost(*standing, int(attempt))
            case _:
                return False  # not of a shape we write: not ours to judge


def _prediction_id(key: str) -> str:
    """The prediction that a blob is an input or output of; empty for other blobs."""
    match key.split("/"):
        case ["inputs", id, _]:
            return id
        case [id, attempt, _] if attempt.isdecimal():
            return id
        case _:
            return ""


def _lost(status: Status, winner: int, attempt: int) -> bool:
    """Whether an attempt's pictures can no longer become the prediction's."""
    return status.is_final and (status is not Status.SUCCEEDED or attempt != winner)
