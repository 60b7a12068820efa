"""Removes uploads that have expired: the bytes first, then the row.

A crash in between leaves a row without bytes, which the next sweep finishes.
"""

import asyncio

import structlog

from retouch.ports import Blobs, Clock, Files

log = structlog.get_logger(__name__)

BATCH = 100


class Janitor:
    """Sweeps now and then. Any number of them may run beside each other."""

    def __init__(self, *, files: Files, blobs: Blobs, clock: Clock, every_s: float = 60.0) -> None:
        self._files, self._blobs, self._clock = files, blobs, clock
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    async def sweep(self) -> int:
        """Remove everything past its expiry; how many files that were."""
        removed = 0
        while expired := await self._files.expired_files(self._clock.now(), limit=BATCH):
            for file in expired:
                await self._blobs.delete(file.key)
                await self._files.delete_file(file.id)
            removed += len(expired)
        return removed

    async def start(self) -> None:
        """Begin to sweep."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="janitor")

    async def stop(self) -> None:
        """Stop. Safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                if removed := await self.sweep():
                    log.info("files.swept", removed=removed)
            except Exception:
                log.exception("files.sweep_failed")
            await asyncio.sleep(self._every_s)
