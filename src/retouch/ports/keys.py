"""Callers' keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from retouch.domain.grant import EVERYTHING, Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A caller's credential, without its secret."""

    id: str  # the owner recorded on what it makes
    name: str
    prefix: str  # shown in listings
    digest: bytes  # SHA-256 of the whole secret
    created_at: float
    revoked_at: float | None = None
    grant: Grant = EVERYTHING


class Keys(Protocol):
    """The credentials. Part of the same database as the predictions."""

    async def add_key(self, key: Key) -> None:
        """Record a key; a taken id or prefix raises ValueError."""

    async def find_key(self, prefix: str) -> Key | None:
        """The unrevoked key with this prefix."""

    async def list_keys(self) -> Sequence[Key]:
        """Every key, oldest first, revoked ones included."""

    async def revoke_key(self, id: str, at: float) -> bool:
        """Revoke; False when there is no such unrevoked key."""
