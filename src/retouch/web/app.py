"""The web app: addresses from the protocols' tables, one endpoint class, health, signed files.

`create_app` only wires what it is given. An address belongs to the first protocol that lists it;
a request whose Host is a vendor's own name sees that vendor's protocol alone.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Host, Router
from starlette.routing import Route as Path
from starlette.types import Receive, Scope, Send

from retouch.domain.errors import NotFound, RetouchError
from retouch.protocols import DIALECTS, Dialect
from retouch.protocols.base import Call, Route, Verb
from retouch.service.identity import draw_id
from retouch.web.auth import Gate, host_name
from retouch.web.files import signed_file
from retouch.web.handlers import HANDLERS, OPEN_VERBS, Visit, respond
from retouch.web.middleware import NoTrailingSlash, RequestContext, SafeHeaders
from retouch.web.reading import Origins, call_of, limited
from retouch.web.services import Services

log = structlog.get_logger(__name__)

UPLOAD_SLACK_BYTES = 1024 * 1024  # what a multipart body adds to its file


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """What an operator chooses of the web process."""

    public_url: str = ""
    trust_forwarded: bool = False
    max_body_bytes: int = 110_000_000


def create_app(
    services: Services,
    options: WebOptions = WebOptions(),
    *,
    dialects: Sequence[Dialect] = DIALECTS,
    draw_request_id: Callable[[], str] | None = None,
) -> Starlette:
    """The ASGI app. Its lifespan starts and stops the follower of predictions."""
    desk = Desk(services, options, dialects)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await services.predictions.start()
        try:
            yield
        finally:
            await services.predictions.stop()

    draw = draw_request_id or (lambda: draw_id(secrets.token_bytes))
    app = Starlette(
        routes=[*desk.vendor_hosts(), *desk.routes(dialects)],
        middleware=[
            Middleware(RequestContext, draw_id=draw),
            Middleware(SafeHeaders),
            Middleware(NoTrailingSlash),
        ],
        exception_handlers={HTTPException: refused_by_router},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


class Desk:
    """Builds the routes and answers what the protocols do not."""

    def __init__(
        self, services: Services, options: WebOptions, dialects: Sequence[Dialect]
    ) -> None:
        self.services, self.options, self.dialects = services, options, dialects
        self.origins = Origins(
            public_url=options.public_url, trust_forwarded=options.trust_forwarded
        )
        vendors = frozenset(host for dialect in dialects for host in dialect.hosts)
        own = host_name(options.public_url.partition("://")[2].partition("/")[0])
        self.gate = Gate(services.keys, vendors | ({own} if own else set()))

    def vendor_hosts(self) -> list[BaseRoute]:
        """One router per vendor's host name."""
        return [
            Host(host, Router(self.routes([dialect]), redirect_slashes=False))
            for dialect in self.dialects
            for host in sorted(dialect.hosts)
        ]

    def routes(self, dialects: Sequence[Dialect]) -> list[BaseRoute]:
        """Every address of these protocols, then our own, then everything else."""
        return [
            *(Path(path, Address(self, path, entries)) for path, entries in table(dialects)),
            Path("/files/{key:path}", self.files, methods=["GET"]),
            Path("/livez", self.livez, methods=["GET"]),
            Path("/readyz", self.readyz, methods=["GET"]),
            Path("/{path:path}", Nowhere(self, dialects)),
        ]

    async def files(self, request: Request) -> Response:
        return await signed_file(request, self.services)

    async def livez(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        missing = await self.services.ready()
        if missing is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "detail": missing}, status_code=503)


@dataclass(frozen=True, slots=True)
class Entry:
    """One protocol's meaning of a method at an address."""

    dialect: Dialect
    mount: str
    route: Route


Entries = Mapping[str, Entry]


def table(dialects: Sequence[Dialect]) -> list[tuple[str, Entries]]:
    """Every path with its methods, in the order the protocols list them."""
    paths: dict[str, dict[str, Entry]] = {}
    for dialect in dialects:
        for mount in dialect.mounts:
            for route in dialect.routes:
                methods = paths.setdefault(mount + route.path, {})
                methods.setdefault(route.method, Entry(dialect, mount, route))
    return list(paths.items())


class Address:
    """One path: finds the method's entry, asks who calls, runs the verb, renders every error."""

    def __init__(self, desk: Desk, path: str, entries: Entries) -> None:
        self._desk, self._path, self._entries = desk, path, entries
        gets = {"HEAD"} if "GET" in entries else set()
        self._allow = ", ".join(sorted({*entries, *gets, "OPTIONS"}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["retouch.address"] = self._path
        response = await self._answer(scope, receive)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        request = Request(scope, receive)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": self._allow})
        entry = self._entries.get("GET" if request.method == "HEAD" else request.method)
        if entry is None:
            entry = next(iter(self._entries.values()))
            call = call_of(request, entry.mount, self._desk.origins)
            answer = respond(entry.dialect.wrong_method(call))
            answer.headers["allow"] = self._allow
            return answer
        call = call_of(request, entry.mount, self._desk.origins)
        try:
            return await self._serve(entry, call, scope, receive)
        except RetouchError as error:
            return respond(entry.dialect.refuse(call, error))
        except Exception:
            log.exception("http.request_failed", address=self._path)
            return respond(entry.dialect.refuse(call, RetouchError()))

    async def _serve(self, entry: Entry, call: Call, scope: Scope, receive: Receive) -> Response:
        verb, desk = entry.route.verb, self._desk
        owner = "" if verb in OPEN_VERBS else await desk.gate.owner(call.headers, peer_of(scope))
        what, limit = "the request body", desk.options.max_body_bytes
        if verb is Verb.UPLOAD:
            what, limit = "file", entry.dialect.upload_limit_bytes
        slack = UPLOAD_SLACK_BYTES if verb is Verb.UPLOAD else 0
        visit = Visit(
            dialect=entry.dialect,
            route=entry.route,
            call=call,
            request=Request(scope, limited(receive, call.headers, what, limit, slack)),
            owner=owner,
            services=desk.services,
        )
        try:
            reply = await HANDLERS[verb](visit)
        except RetouchError as error:
            reply = entry.dialect.refuse(visit.call, error)
        return reply if isinstance(reply, Response) else respond(reply)


class Nowhere:
    """Every other path: not found, in the shape of the protocol whose mount it lies under."""

    def __init__(self, desk: Desk, dialects: Sequence[Dialect]) -> None:
        self._desk = desk
        mounts = [(mount, dialect) for dialect in dialects for mount in dialect.mounts]
        self._mounts = sorted(mounts, key=lambda it: len(it[0]), reverse=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = request.url.path
        mount, dialect = next(
            it for it in self._mounts if path == it[0] or path.startswith(f"{it[0]}/")
        )
        call = call_of(request, mount, self._desk.origins)
        response = respond(dialect.refuse(call, NotFound("address", path)))
        await response(scope, receive, send)


async def refused_by_router(_request: Request, error: Exception) -> Response:
    """What only our own addresses raise, such as a wrong method, as an object."""
    if not isinstance(error, HTTPException):
        raise error
    body = {"detail": error.detail, "status": error.status_code}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


def peer_of(scope: Scope) -> str | None:
    """The address the connection came from."""
    client = scope.get("client")
    return str(client[0]) if client else None
