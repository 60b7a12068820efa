"""Around every request: an id, safe headers, one log line, and no slash at the end of a path."""

import re
import time
from collections.abc import Awaitable, Callable, Iterable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retouch.logs import REQUEST
from retouch.ports import UNTRACED, Tracer
from retouch.web.reading import headers_of

log = structlog.get_logger(__name__)

Header = tuple[bytes, bytes]

REQUEST_HEADER = b"x-request-id"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
DEFAULT_HEADERS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class OnlyHttp:
    """Requests to our layers, which know nothing else; the rest to Starlette: the lifespan."""

    def __init__(self, http: ASGIApp, *, otherwise: ASGIApp) -> None:
        self._http, self._otherwise = http, otherwise

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        app = self._http if scope["type"] == "http" else self._otherwise
        return app(scope, receive, send)


class RequestContext:
    """Names each request, makes its answer safe, and writes its line.

    The line has the address, never the path's values: a path may hold a ticket, a query a
    signature.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        draw_id: Callable[[], str],
        answered: Callable[[str, str, int, float, str], None],
        tracer: Tracer = UNTRACED,
    ) -> None:
        """`answered` is told each request's address, method, status, seconds and refusal."""
        self._app, self._draw_id, self._answered = app, draw_id, answered
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else self._draw_id()
        span = self._tracer.begin("http", headers.get("traceparent", ""), request=request_id)
        scope["retouch.request"], scope["retouch.trace"] = request_id, span.context
        status, started = 500, time.perf_counter()

        def named(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _completed(message["headers"], request_id)
            return send(message)

        before = REQUEST.set(request_id)
        try:
            await self._app(scope, receive, named)
        finally:
            address, method = scope.get("retouch.address", ""), scope["method"]
            refusal = scope.get("retouch.refusal", "")
            took_s = time.perf_counter() - started
            span.end(
                method=method,
                address=address,
                status=status,
                error=f"answered {status}" if status >= 500 else "",
            )
            self._answered(address, method, status, took_s, refusal)
            log.info(
                "http.request",
                method=method,
                address=address,
                status=status,
                seconds=round(took_s, 3),
                **({"refusal": refusal} if refusal else {}),
                **scope.get("retouch.why", {}),
            )
            REQUEST.reset(before)


def _completed(headers: Iterable[Header], request_id: str) -> list[Header]:
    """An answer's headers with its request's id, and the default ones that it did not set."""
    found = [it for it in headers if it[0] != REQUEST_HEADER]
    own = {name for name, _ in found}
    found += [it for it in DEFAULT_HEADERS if it[0] not in own]
    found.append((REQUEST_HEADER, request_id.encode()))
    return found


class NoTrailingSlash:
    """`/x/` is `/x`, answered in place: some clients do not follow redirects."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        scope["path"] = scope["path"].rstrip("/") or "/"
        return self._app(scope, receive, send)
