"""Keys in memory."""

from collections.abc import Sequence
from dataclasses import replace

from retouch.ports import Key, Keys


class MemoryKeys(Keys):
    """Keys in a dictionary."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}

    async def add_key(self, key: Key) -> None:
        if any(key.id == other.id or key.prefix == other.prefix for other in self._keys.values()):
            raise ValueError(f"a key {key.id!r} or one with its prefix exists already")
        self._keys[key.id] = key

    async def find_key(self, prefix: str) -> Key | None:
        return next(
            (k for k in self._keys.values() if k.prefix == prefix and k.revoked_at is None), None
        )

    async def list_keys(self) -> Sequence[Key]:
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.id))

    async def revoke_key(self, id: str, at: float) -> bool:
        key = self._keys.get(id)
        if key is None or key.revoked_at is not None:
            return False
        self._keys[id] = replace(key, revoked_at=at)
        return True
