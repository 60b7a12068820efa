"""Callers' keys: made, listed, revoked, and recognised on every request."""

import secrets
from collections.abc import Sequence
from functools import partial

from retouch.domain.errors import NotFound, RetouchError
from retouch.domain.grant import EVERYTHING, Grant
from retouch.net.signing import key_matches, new_key, parse_key
from retouch.ports import Clock, Key, Keys
from retouch.service.identity import Entropy, draw_id
from retouch.service.shared import Shared

CACHE_S = 1.0
"""How long a key that was found is trusted without another look: a revocation takes effect then."""
CACHE_SIZE = 1024


class Ambiguous(RetouchError):
    """Several keys have a name, so it says of none of them that it is meant."""

    def __init__(self, name: str, ids: Sequence[str]) -> None:
        super().__init__(f"{len(ids)} keys have the name {name!r}; say an id: {', '.join(ids)}")


class KeyService:
    """The credentials. A secret is returned once, by `create`, and never kept."""

    def __init__(self, keys: Keys, clock: Clock, *, entropy: Entropy = secrets.token_bytes) -> None:
        self._keys, self._clock, self._entropy = keys, clock, entropy
        self._found: dict[str, tuple[float, Key]] = {}
        self._looks = Shared[Key | None]()
        self._counts = Shared[bool]()
        self._none_until = 0.0
        self._some_exist = False

    async def create(self, name: str, grant: Grant = EVERYTHING) -> tuple[Key, str]:
        """A new key and its secret."""
        secret, prefix, digest = new_key(self._entropy)
        key = Key(
            id=draw_id(self._entropy),
            name=name,
            prefix=prefix,
            digest=digest,
            created_at=self._clock.now(),
            grant=grant,
        )
        await self._keys.add_key(key)
        self._some_exist = True
        return key, secret

    async def list(self) -> Sequence[Key]:
        """Every key, oldest first, revoked ones included."""
        return await self._keys.list_keys()

    async def revoke(self, id_or_name: str) -> str:
        """Revoke the key with this id, or the only one with this name; which it was.

        Raises NotFound, and Ambiguous where several have the name.
        """
        keys = [key for key in await self._keys.list_keys() if key.revoked_at is None]
        named = [key.id for key in keys if key.name == id_or_name]
        chosen = [key.id for key in keys if key.id == id_or_name] or named
        if len(chosen) > 1:
            raise Ambiguous(id_or_name, chosen)
        if not chosen or not await self._keys.revoke_key(chosen[0], self._clock.now()):
            raise NotFound("key", id_or_name)
        self._found.clear()
        return chosen[0]

    async def any_created(self) -> bool:
        """Whether a key was ever made: one that is revoked since still closes the server."""
        if self._some_exist:
            return True
        if self._clock.monotonic() < self._none_until:
            return False
        # Every request asks, so all of a busy moment ask at once when the second is over.
        return await self._counts.get("", self._count)

    async def _count(self) -> bool:
        self._some_exist = bool(await self._keys.list_keys())
        self._none_until = self._clock.monotonic() + CACHE_S
        return self._some_exist

    async def authenticate(self, secret: str) -> Key | None:
        """The key this is the secret of, unless it is revoked or has expired."""
        prefix = parse_key(secret)
        key = None if prefix is None else await self._find(prefix)
        if key is None or not key_matches(secret, key.digest):
            return None
        expires_at = key.grant.expires_at
        return key if expires_at is None or self._clock.now() < expires_at else None

    def is_known(self, secret: str) -> bool:
        """Whether this was a right key when it was last looked at, without looking again."""
        prefix = parse_key(secret)
        found = None if prefix is None else self._found.get(prefix)
        return found is not None and key_matches(secret, found[1].digest)

    async def _find(self, prefix: str) -> Key | None:
        now = self._clock.monotonic()
        until, cached = self._found.get(prefix, (0.0, None))
        if cached is not None and now < until:
            return cached
        return await self._looks.get(prefix, partial(self._look, prefix))

    async def _look(self, prefix: str) -> Key | None:
        now = self._clock.monotonic()
        key = await self._keys.find_key(prefix)
        if key is None:
            self._found.pop(prefix, None)
        else:
            if len(self._found) >= CACHE_SIZE:
                self._found.clear()
            self._found[prefix] = (now + CACHE_S, key)
        return key
