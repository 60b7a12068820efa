"""Bytes by their key."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol


class Blobs(Protocol):
    """Bytes under keys like `{prediction}/{attempt}/{n}.png`; any other shape is a ValueError.

    Every verb raises Busy when the store cannot be reached or is full.
    """

    async def put(self, key: str, data: bytes) -> None:
        """Write and sync. An existing key is replaced whole."""

    async def open(self, key: str) -> bytes:
        """The bytes; raises NotFound."""

    async def size(self, key: str) -> int:
        """The length in bytes; raises NotFound."""

    async def delete(self, key: str) -> None:
        """Remove; a missing key is fine."""

    async def list(self, prefix: str) -> Sequence[str]:
        """Every key under a prefix."""

    def written_before(self, when: float) -> AsyncIterator[Sequence[str]]:
        """Every key last written before a time (UTC seconds), in batches and any order."""

    async def tidy(self, before: float) -> None:
        """Remove what writes that were cut short before a time left behind; no key is touched."""
