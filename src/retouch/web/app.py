"""The web app: the protocols' addresses and documents, signed files, health, and what wraps them.

`create_app` only wires what it is given. An address belongs to the first protocol that lists it;
a request whose Host is a vendor's own name sees that vendor's protocol alone.
"""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path
from starlette.types import ASGIApp

from retouch.protocols import DIALECTS, Dialect
from retouch.protocols.openapi import openapi
from retouch.service.identity import draw_id
from retouch.service.readiness import Startup
from retouch.web.addresses import Address, Desk, Nowhere, Own, table
from retouch.web.auth import Gate
from retouch.web.crossing import CrossOrigin, Proxied
from retouch.web.files import signed_file
from retouch.web.forwarding import Forwarding
from retouch.web.guesses import Guesses
from retouch.web.middleware import NoTrailingSlash, OnlyHttp, RequestContext
from retouch.web.names import host_name, is_loopback
from retouch.web.operations import Operations
from retouch.web.overview import overview
from retouch.web.routing import Hosts, Shelves
from retouch.web.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """What an operator chooses of the web process."""

    public_url: str = ""
    host: str = ""  # what it is bound to
    allowed_hosts: tuple[str, ...] = ()  # names it answers to besides its own
    trust_forwarded: bool = False
    max_wrong_keys: int = 0  # a minute and address; 0 is no limit
    max_body_bytes: int = 110_000_000


def create_app(
    services: Services,
    options: WebOptions = WebOptions(),
    *,
    dialects: Sequence[Dialect] = DIALECTS,
    draw_request_id: Callable[[], str] | None = None,
) -> Starlette:
    """The ASGI app. Its lifespan starts and stops the follower of predictions."""
    desk = _desk(services, options, dialects)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await services.predictions.start()
        try:
            yield
        finally:
            await services.predictions.stop()

    # A name in the log and no secret: not worth a call of the system for each request.
    draw = draw_request_id or partial(draw_id, random.Random().randbytes)  # noqa: S311
    inner = Proxied(NoTrailingSlash(_hosts(desk, dialects)), dialects=dialects)
    http = RequestContext(
        CrossOrigin(inner, is_closed=services.keys.any_created),
        draw_id=draw,
        answered=services.meters.answered,
        tracer=services.tracer,
    )
    app = Starlette(lifespan=lifespan)
    # In place of Starlette's own layers, which turn into answers what no address of ours raises.
    app.middleware_stack = OnlyHttp(http, otherwise=app.router)
    return app


def _desk(services: Services, options: WebOptions, dialects: Sequence[Dialect]) -> Desk:
    vendors = frozenset(host for dialect in dialects for host in dialect.hosts)
    own = host_name(options.public_url.partition("://")[2].partition("/")[0])
    named = {host_name(name) for name in (own, options.host, *options.allowed_hosts)} - {""}
    forwarding = Forwarding(public_url=options.public_url, trust_forwarded=options.trust_forwarded)
    return Desk(
        services=services,
        gate=Gate(
            services.keys,
            vendors | named,
            strict=is_loopback(options.host) or bool(options.allowed_hosts),
            forwarding=forwarding,
            guesses=Guesses(options.max_wrong_keys),
        ),
        forwarding=forwarding,
        max_body_bytes=options.max_body_bytes,
    )


def _hosts(desk: Desk, dialects: Sequence[Dialect]) -> ASGIApp:
    """The addresses of one protocol at each vendor's host name, those of all elsewhere."""
    vendors = {
        host: addresses
        for dialect in dialects
        if dialect.hosts
        for addresses in [_addresses(desk, [dialect])]
        for host in dialect.hosts
    }
    return Hosts(vendors, otherwise=_addresses(desk, dialects))


def _addresses(desk: Desk, dialects: Sequence[Dialect]) -> ASGIApp:
    """Every address of these protocols, then our own, then everything else."""
    services = desk.services

    async def files(request: Request) -> Response:
        return await signed_file(request, services)

    def document(dialect: Dialect) -> Path:
        async def read(request: Request) -> Response:
            return JSONResponse(openapi(dialect, desk.forwarding.origin(request.scope)))

        path = f"/{dialect.name}/openapi.json"
        return Path(path, Own(path, read))

    async def all_there_is(request: Request) -> Response:
        return overview(dialects, desk.forwarding.origin(request.scope))

    operations = Operations(services, desk.gate, Startup(services.ready))
    own = {
        "/": all_there_is,
        "/livez": operations.livez,
        "/startupz": operations.startupz,
        "/readyz": operations.readyz,
        "/metrics": operations.metrics,
    }
    routes = [
        *(Path(path, Address(desk, path, entries)) for path, entries in table(dialects)),
        *(document(dialect) for dialect in dialects),
        Path("/files/{key:path}", Own("/files/{key}", files)),
        *(Path(path, Own(path, read)) for path, read in own.items()),
    ]
    return Shelves(routes, otherwise=Nowhere(desk, dialects))
