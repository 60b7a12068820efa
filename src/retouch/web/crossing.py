"""Browsers: which pages may read our answers, and calls that name their address in a header."""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import unquote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retouch.protocols.dialect import Dialect
from retouch.web.names import is_loopback
from retouch.web.reading import headers_of

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
MAX_AGE_S = 600


class CrossOrigin:
    """Lets pages of other origins read answers, and send what needs asking first.

    Any page may, once a key exists: it has to bring one. While none exists whoever is on this
    machine is let in, so only pages served from it may.
    """

    def __init__(self, app: ASGIApp, *, is_closed: Callable[[], Awaitable[bool]]) -> None:
        self._app, self._is_closed = app, is_closed

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        origin = headers_of(scope).get("origin", "")
        if not origin:
            return self._app(scope, receive, send)
        return self._answer_page(origin, scope, receive, send)

    async def _answer_page(self, origin: str, scope: Scope, receive: Receive, send: Send) -> None:
        if not await self._may_read(origin):
            await self._app(scope, receive, send)
            return
        asking = headers_of(scope)
        common = {"access-control-allow-origin": origin, "vary": "Origin"}
        if scope["method"] == "OPTIONS" and "access-control-request-method" in asking:
            allowed = {
                "access-control-allow-methods": METHODS,
                "access-control-allow-headers": asking.get("access-control-request-headers", "*"),
                "access-control-max-age": str(MAX_AGE_S),
            }
            await Response(status_code=204, headers={**common, **allowed})(scope, receive, send)
            return

        async def readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update({**common, "access-control-expose-headers": "*"})
            await send(message)

        await self._app(scope, receive, readable)

    async def _may_read(self, origin: str) -> bool:
        try:
            host = urlsplit(origin).hostname or ""
        except ValueError:
            return False
        return is_loopback(host) or await self._is_closed()


class Proxied:
    """A call whose header names an address of ours by a vendor's name: answered as that address.

    The header only chooses among our own addresses; nothing is ever fetched for it.
    """

    def __init__(self, app: ASGIApp, *, dialects: Sequence[Dialect]) -> None:
        self._app = app
        self._named = {it.target_header: it for it in dialects if it.target_header}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        place = self._place(scope)
        if place is not None:
            path, _, query = place.partition("?")
            scope["path"], scope["raw_path"] = unquote(path), path.encode()
            scope["query_string"] = query.encode()
        return self._app(scope, receive, send)

    def _place(self, scope: Scope) -> str | None:
        headers = headers_of(scope)
        for name, dialect in self._named.items():
            if name in headers:
                return dialect.target(headers[name])
        return None
