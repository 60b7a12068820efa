"""Who is calling: a key's owner, or `local` while no key exists.

With no key created, only a caller on this very machine is let in: the peer must be a loopback
address, the Host must be a loopback name (a web page that rebinds its own name to 127.0.0.1 has
another), and no proxy may stand in between.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from retouch.domain.errors import Unauthenticated
from retouch.service.keys import KeyService

LOCAL = "local"
SCHEMES = ("bearer", "key", "token")
BARE_HEADERS = ("x-key", "x-api-key")
PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip")


class Gate:
    """Decides whose request it is. `known_hosts` are names besides loopback that are safe."""

    def __init__(self, keys: KeyService, known_hosts: frozenset[str] = frozenset()) -> None:
        self._keys, self._known_hosts = keys, known_hosts

    async def owner(self, headers: Mapping[str, str], peer: str | None) -> str:
        """The owner; raises Unauthenticated."""
        secret = credential(headers)
        if await self._keys.any_created():
            if secret is None:
                raise Unauthenticated(missing=True)
            key = await self._keys.authenticate(secret)
            if key is None:
                raise Unauthenticated(missing=False)
            return key.id
        if self._is_local(headers, peer):
            return LOCAL
        raise Unauthenticated(missing=secret is None)

    def _is_local(self, headers: Mapping[str, str], peer: str | None) -> bool:
        if peer is None or any(name in headers for name in PROXY_HEADERS):
            return False
        host = host_name(headers.get("host", ""))
        return is_loopback(peer) and (is_loopback(host) or host in self._known_hosts)


def credential(headers: Mapping[str, str]) -> str | None:
    """The secret a request carries, in any header a protocol uses."""
    scheme, _, rest = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() in SCHEMES and rest.strip():
        return rest.strip()
    return next((headers[name].strip() for name in BARE_HEADERS if headers.get(name)), None)


def is_loopback(name: str) -> bool:
    """Whether an address or a host name can only mean this machine."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def host_name(host: str) -> str:
    """A Host header without its port, in lower case."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
