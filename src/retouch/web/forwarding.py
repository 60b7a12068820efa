"""How a request came to us: from whom and under which origin, and what proxies say of that.

Their headers are read here and nowhere else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.types import Scope

from retouch.web.names import host_name, is_loopback
from retouch.web.reading import headers_of

SAFE_HOST = re.compile(r"[A-Za-z0-9.\-_]+(?::\d+)?|\[[0-9A-Fa-f:.]+\](?::\d+)?")
PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip")
"""What a request has that came through a proxy, believed or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """What proxies are believed.

    One on this machine is believed whom it forwards for: were it not, all its callers would be
    one. Everything else takes `trust_forwarded`, and `public_url` goes before it.
    """

    public_url: str = ""
    trust_forwarded: bool = False

    def origin(self, scope: Scope) -> str:
        """Scheme and host that URLs in answers begin with, without a slash at the end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        headers = headers_of(scope)
        scheme, host = scope.get("scheme", "http"), headers.get("host", "")
        if self.trust_forwarded:
            scheme = _first(headers, "x-forwarded-proto") or scheme
            host = _first(headers, "x-forwarded-host") or host
        if scheme not in ("http", "https"):
            scheme = "http"
        if not SAFE_HOST.fullmatch(host):
            name, port = scope.get("server") or ("localhost", None)
            host = f"{name}:{port}" if port else str(name)
        return f"{scheme}://{host}"

    def address(self, scope: Scope) -> str:
        """The caller's, of IPv6 the network that one caller is given whole.

        Empty where that is this machine, or nobody knows.
        """
        near = _parsed(_peer(scope))
        if near is None:
            return ""
        if self.trust_forwarded or near.is_loopback:
            said = headers_of(scope).get("x-forwarded-for", "")
            near = _parsed(said.rpartition(",")[2].strip()) or near
        return "" if near.is_loopback else _whole(near)


def is_from_here(scope: Scope) -> bool:
    """Whether a program on this machine calls, and no proxy that forwards for another.

    A proxy that does not say so can be known by the Host alone.
    """
    headers = headers_of(scope)
    return is_loopback(_peer(scope)) and not any(name in headers for name in PROXY_HEADERS)


def _peer(scope: Scope) -> str:
    """The address the connection came from."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _first(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "").partition(",")[0].strip()


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address, with or without a port, as proxies write it; None for anything else."""
    has_port = text.startswith("[") or text.count(":") == 1
    try:
        found = ip_address(host_name(text) if has_port else text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _whole(address: IPv4Address | IPv6Address) -> str:
    if address.version == 4:
        return str(address)
    return str(ip_network((int(address), 64), strict=False))
