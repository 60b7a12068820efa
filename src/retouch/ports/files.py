"""Callers' uploads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from retouch.ports.store import Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An upload of a caller's."""

    id: str
    owner: str
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    md5: str
    key: str  # blob key
    created_at: float
    expires_at: float
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Files(Protocol):
    """The records of uploads; their bytes are blobs."""

    async def add_file(self, file: File) -> None:
        """Record an upload whose bytes are already stored."""

    async def get_file(self, id: str, *, owner: str | None = None) -> File | None:
        """One file, or None when unknown or not this owner's (None: anybody's)."""

    async def page_files(
        self, owner: str, *, limit: int, after: Cursor | None = None
    ) -> Sequence[File]:
        """Up to `limit` files, newest first."""

    async def delete_file(self, id: str, *, owner: str | None = None) -> File | None:
        """Forget a file; what it was, or None."""

    async def expired_files(self, now: float, *, limit: int) -> Sequence[File]:
        """Files past their expiry, oldest first."""
