"""Blobs that may be away for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog

from retouch.domain.errors import Busy
from retouch.ports import Blobs
from retouch.worker.options import WorkerOptions

T = TypeVar("T")

log = structlog.get_logger(__name__)


class PatientBlobs:
    """Tries a verb again while the store is away: leases are renewed meanwhile.

    Raises Busy after `blob_tries`.
    """

    def __init__(self, blobs: Blobs, options: WorkerOptions) -> None:
        self._blobs, self._options = blobs, options

    async def open(self, key: str) -> bytes:
        """The bytes under a key; raises NotFound."""
        return await self._patiently(partial(self._blobs.open, key))

    async def put(self, key: str, data: bytes) -> None:
        """Store bytes."""
        await self._patiently(partial(self._blobs.put, key, data))

    async def _patiently(self, verb: Callable[[], Awaitable[T]]) -> T:
        for left in reversed(range(self._options.blob_tries)):
            try:
                return await verb()
            except Busy:
                if not left:
                    raise
                log.warning("blobs.away", tries_left=left, exc_info=True)
                await asyncio.sleep(self._options.retry_s)
        raise AssertionError("blob_tries must be at least 1")
