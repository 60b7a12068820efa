"""Removes what has been kept long enough: uploads, predictions part by part, and previews.

The bytes go first, then the row. A crash in between leaves a row without bytes, which the next
sweep finishes. Previews, which their prediction's outputs take along too, go the other way round.
"""

from collections.abc import Mapping

from retouch.domain.prediction import PREVIEW, Kept
from retouch.ports import Blobs, Clock, Files, Store
from retouch.service.eraser import Eraser

BATCH = 100
PREVIEWS_KEPT_S = 60.0


class Janitor:
    """Sweeps when told to. Any number of them may sweep beside each other."""

    def __init__(
        self,
        *,
        store: Store,
        files: Files,
        blobs: Blobs,
        clock: Clock,
        keep_s: Mapping[Kept, float],
    ) -> None:
        """`keep_s` says how long after its end what of a prediction is kept, else for ever; it
        yields to what a prediction says of itself.
        """
        self._store, self._files, self._blobs, self._clock = store, files, blobs, clock
        self._eraser, self._keep_s = Eraser(store=store, blobs=blobs), keep_s

    async def sweep(self) -> int:
        """Remove all that is past its time; how many files and parts of predictions that were."""
        parts = [await self._sweep_predictions(kept) for kept in Kept]
        return await self._sweep_files() + sum(parts)

    async def _sweep_predictions(self, kept: Kept) -> int:
        removed, now, keep_s = 0, self._clock.now(), self._keep_s.get(kept)
        while old := await self._store.outdated(kept, keep_s=keep_s, now=now, limit=BATCH):
            removed += await self._eraser.erase(old, kept)
        return removed

    async def _sweep_files(self) -> int:
        removed = 0
        while expired := await self._files.expired_files(self._clock.now(), limit=BATCH):
            for file in expired:
                await self._blobs.delete(file.key)
                await self._files.delete_file(file.id)
            removed += len(expired)
        return removed

    async def drop_previews(self) -> int:
        """Remove the previews of predictions that are over; how many predictions those were."""
        dropped = 0
        while ids := await self._store.drop_previews(ended_for_s=PREVIEWS_KEPT_S, limit=BATCH):
            for id in ids:
                for key in await self._blobs.list(id):  # of every attempt
                    if key.rpartition("/")[2].startswith(PREVIEW):
                        await self._blobs.delete(key)
            dropped += len(ids)
        return dropped
