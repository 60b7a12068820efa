"""A transport that reaches public hosts only.

A name is resolved once, every address it has is judged, and the connection goes to a judged
address: a name that changes its mind afterwards changes nothing. The host's name still goes into
the `Host` header and the TLS handshake. Redirects come back to whoever called, and are judged
when followed. The environment's proxies play no part.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import cache

import httpx2

from retouch.domain.network import Network
from retouch.net.address import is_allowed, parse_address

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""A host's name and port to its addresses; raises OSError when there are none."""

CONNECT_TIMEOUT_S = 4.0
"""How long one address may take to accept a connection before the next is tried."""

_MAX_ADDRESSES = 4
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
_LOCAL = (
    *(".corp", ".domain", ".home", ".home.arpa", ".internal", ".intranet", ".invalid", ".lan"),
    *(".local", ".localdomain", ".localhost", ".private", ".test"),
)


class Refused(httpx2.TransportError):
    """The guard will not try a URL; its message says why and names no address."""


class NotPublic(Refused):
    """The URL's host is an address of a private network, or a name for one."""

    def __init__(self) -> None:
        super().__init__("it resolves to an address that is not public")


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Judges, then connects. Keeps no connection, so there is nothing to close.

    `allow` lists networks of the operator's own that may be reached although they are private.
    """

    def __init__(
        self,
        allow: tuple[Network, ...] = (),
        *,
        resolve: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allow = allow
        self._resolve = resolve or resolve_by_system
        self._ssl_context = ssl_context

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response; raises Refused, or another TransportError when it cannot be had."""
        host = check_url(request.url)
        addresses = await self._judged(host, request.url)
        failure: httpx2.TransportError | None = None
        for address in addresses[:_MAX_ADDRESSES]:
            try:
                return await self._send(request, host, address)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
        raise failure or httpx2.ConnectError("the host has no address")

    async def _judged(self, host: str, url: httpx2.URL) -> Sequence[str]:
        if parse_address(host) is not None:
            addresses: Sequence[str] = [host]
        else:
            try:
                addresses = await self._resolve(host, url.port or _port(url))
            except (OSError, UnicodeError):
                addresses = []
        parsed = [parse_address(address) for address in addresses]
        if not all(address and is_allowed(address, self._allow) for address in parsed):
            raise NotPublic
        if not parsed:
            # A local name says the same whether or not our network knows it.
            raise NotPublic if _is_local(host) else Refused("its host's name is not known")
        return addresses

    async def _send(self, request: httpx2.Request, host: str, address: str) -> httpx2.Response:
        timeout = {"connect": CONNECT_TIMEOUT_S} | dict(request.extensions.get("timeout", {}))
        pinned = httpx2.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host, "timeout": timeout},
        )
        transport = httpx2.AsyncHTTPTransport(
            verify=self._ssl_context or _public_roots(),
            trust_env=False,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )
        return await transport.handle_async_request(pinned)


def check_url(url: httpx2.URL) -> str:
    """The host of a URL that is worth judging; raises Refused saying what is wrong with it."""
    if url.scheme not in ("http", "https"):
        raise Refused("only http and https are fetched")
    if url.userinfo:
        raise Refused("a URL with a user name or password is not fetched")
    if url.port is not None and not 0 < url.port < 65536:
        raise Refused("its port is not between 1 and 65535")
    host = url.raw_host.decode("ascii").lower().removesuffix(".")
    if "%" in host:
        raise Refused("an address with a zone is not fetched")
    if parse_address(host) is None:
        if not _HOST.fullmatch(host):
            raise Refused("its host is not a name or an address")
        if _NUMBER.fullmatch(host):  # 127.1, 0x7f000001, 2130706433: the system would take them
            raise Refused("an IPv4 address is written as four decimal numbers")
    return host


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """The addresses the system's resolver knows, best first."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def _is_local(host: str) -> bool:
    return "." not in host or host.endswith(_LOCAL)


def _port(url: httpx2.URL) -> int:
    return 443 if url.scheme == "https" else 80


@cache
def _public_roots() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)
