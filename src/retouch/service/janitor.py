"""Removes uploads that have expired: the bytes first, then the row.

A crash in between leaves a row without bytes, which the next sweep finishes.
"""

from retouch.ports import Blobs, Clock, Files

BATCH = 100


class Janitor:
    """Sweeps when told to. Any number of them may sweep beside each other."""

    def __init__(self, *, files: Files, blobs: Blobs, clock: Clock) -> None:
        self._files, self._blobs, self._clock = files, blobs, clock

    async def sweep(self) -> int:
        """Remove everything past its expiry; how many files that were."""
        removed = 0
        while expired := await self._files.expired_files(self._clock.now(), limit=BATCH):
            for file in expired:
                await self._blobs.delete(file.key)
                await self._files.delete_file(file.id)
            removed += len(expired)
        return removed
