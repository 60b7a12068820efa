"""Who is calling and what it may do: a key's owner, or `local` while no key exists.

With no key created, only a caller on this very machine is let in: the peer must be a loopback
address, the Host must be a loopback name (a web page that rebinds its own name to 127.0.0.1 has
another), and no proxy may stand in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Scope as HttpScope

from retouch.domain.errors import Forbidden, Throttled, Unauthenticated
from retouch.domain.grant import EVERYTHING, Grant, Scope
from retouch.service.keys import KeyService
from retouch.web.forwarding import Forwarding, is_from_here
from retouch.web.guesses import Guesses
from retouch.web.names import host_name, is_loopback
from retouch.web.reading import headers_of

LOCAL = "local"
SCHEMES = ("bearer", "key", "token")
BARE_HEADERS = ("x-key", "x-api-key")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is and what it may do."""

    owner: str
    grant: Grant = EVERYTHING

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless the key has this scope."""
        if scope not in self.grant.scopes:
            raise Forbidden(f"This key lacks the scope {scope.value!r}.")


NOBODY = Caller("")
"""Who calls an address that asks for no key."""


class Gate:
    """Decides whose request it is.

    `known_hosts` are the names besides loopback that are ours. A `strict` gate takes no other:
    a web page that rebinds a name of its own to this machine is refused even with a key.
    """

    def __init__(
        self,
        keys: KeyService,
        known_hosts: frozenset[str] = frozenset(),
        *,
        strict: bool = False,
        forwarding: Forwarding,
        guesses: Guesses,
    ) -> None:
        self._keys, self._known_hosts, self._strict = keys, known_hosts, strict
        self._forwarding, self._guesses = forwarding, guesses

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raise Forbidden for a Host that is not ours, if the gate is strict."""
        host = host_name(headers.get("host", ""))
        if self._strict and not self._knows(host):
            raise Forbidden(
                f"This server does not answer to the name {host[:100]!r}; "
                "its operator may list it in the setting allowed_hosts."
            )

    async def caller(self, scope: HttpScope) -> Caller:
        """Who it is; raises Unauthenticated, and Throttled after too many wrong keys."""
        headers = headers_of(scope)
        secret = credential(headers)
        if await self._keys.any_created():
            if secret is None:
                raise Unauthenticated(missing=True)
            if self._guesses:
                self._require_patience(scope, secret)
            key = await self._keys.authenticate(secret)
            if key is None:
                self._guesses.count(self._forwarding.address(scope))
                raise Unauthenticated(missing=False)
            return Caller(key.id, key.grant)
        if is_from_here(scope) and self._knows(host_name(headers.get("host", ""))):
            return Caller(LOCAL)
        raise Unauthenticated(missing=secret is None)

    def _require_patience(self, scope: HttpScope, secret: str) -> None:
        """A key that was right a moment ago is let in all the same: its caller may share its
        address with whoever is guessing.
        """
        try:
            self._guesses.require_patience(self._forwarding.address(scope))
        except Throttled:
            if not self._keys.is_known(secret):
                raise

    def _knows(self, host: str) -> bool:
        return is_loopback(host) or host in self._known_hosts


def credential(headers: Mapping[str, str]) -> str | None:
    """The secret a request carries, in any header a protocol uses."""
    scheme, _, rest = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() in SCHEMES and rest.strip():
        return rest.strip()
    return next((headers[name].strip() for name in BARE_HEADERS if headers.get(name)), None)
