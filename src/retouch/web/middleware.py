"""Around every request: an id, one log line, safe headers, and no slash at the end of a path."""

import re
import time
from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retouch.logs import REQUEST
from retouch.ports import UNTRACED, Tracer
from retouch.web.reading import headers_of

log = structlog.get_logger(__name__)

REQUEST_HEADER = b"x-request-id"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
DEFAULT_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class RequestContext:
    """Names each request and writes its line. The line has the address, never the path's values:
    a path may hold a ticket, a query a signature."""

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
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = headers_of(scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else self._draw_id()
        span = self._tracer.begin("http", headers.get("traceparent", ""), request=request_id)
        scope["retouch.request"], scope["retouch.trace"] = request_id, span.context
        status, started = 500, time.perf_counter()

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                others = (it for it in message["headers"] if it[0] != REQUEST_HEADER)
                message["headers"] = [*others, (REQUEST_HEADER, request_id.encode())]
            await send(message)

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
            )
            REQUEST.reset(before)


class SafeHeaders:
    """Headers every answer carries unless it set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                own = {name for name, _ in headers}
                missing = (it for it in DEFAULT_HEADERS if it[0] not in own)
                message["headers"] = [*headers, *missing]
            await send(message)

        await self._app(scope, receive, safe)


class NoTrailingSlash:
    """`/x/` is `/x`, answered in place: some clients do not follow redirects."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and len(scope["path"]) > 1:
            scope["path"] = scope["path"].rstrip("/") or "/"
        await self._app(scope, receive, send)
