"""Addresses as ASGI apps: a protocol's, one of our own, and everywhere else.

Each answers every method, so that a wrong one is refused in the shape its caller understands.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from retouch.domain.errors import NotFound, RetouchError
from retouch.protocols.base import OPEN_VERBS, Answer, Call, Route, Verb
from retouch.protocols.dialect import Dialect
from retouch.web.auth import NOBODY, Caller, Gate
from retouch.web.forwarding import Forwarding
from retouch.web.handlers import HANDLERS, Reply, Visit, respond, scope_of
from retouch.web.reading import call_of, limited
from retouch.web.refusals import note
from retouch.web.services import Services

log = structlog.get_logger(__name__)

UPLOAD_SLACK_BYTES = 1024 * 1024  # what a multipart body adds to its file


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What every address needs to answer."""

    services: Services
    gate: Gate
    forwarding: Forwarding
    max_body_bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One protocol's meaning of a method at an address.

    `beside` are other protocols' meanings: of a shared verb, told in the same answer; of a claimed
    one, the answer's instead where the body says so.
    """

    dialect: Dialect
    mount: str
    route: Route
    beside: tuple["Entry", ...] = ()


Entries = Mapping[str, Entry]


SHARED_VERBS = frozenset({Verb.DESCRIBE, Verb.FILE, Verb.FILES})
"""Verbs whose answers, objects with keys of their own, can be joined."""
CLAIMED_VERBS = frozenset({Verb.UPLOAD})
"""Verbs whose body tells which protocol is spoken."""


NEW_WORK = frozenset({Verb.SUBMIT, Verb.UPLOAD, Verb.RESERVE})
"""Verbs that a server which is stopping refuses."""


def table(dialects: Sequence[Dialect]) -> list[tuple[str, Entries]]:
    """Every path with its methods, in the order the protocols list them, plain ones first.

    So no protocol's `/files/{id}` hides another's `/files/upload`.
    """
    paths: dict[str, dict[str, Entry]] = {}
    for dialect in dialects:
        for mount in dialect.mounts:
            for route in dialect.routes:
                methods = paths.setdefault(mount + route.path, {})
                entry = Entry(dialect, mount, route)
                methods[route.method] = _joined(methods.get(route.method), entry)
    return sorted(paths.items(), key=lambda it: "{" in it[0])


def _joined(earlier: Entry | None, entry: Entry) -> Entry:
    """What an address means once another protocol claims it: the earlier stays the first."""
    if earlier is None:
        return entry
    verb, is_other = entry.route.verb, earlier.dialect is not entry.dialect
    is_alike = verb is earlier.route.verb and entry.route.is_open == earlier.route.is_open
    if is_other and is_alike and verb in SHARED_VERBS | CLAIMED_VERBS:
        return replace(earlier, beside=(*earlier.beside, entry))
    return earlier


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
        method = scope["method"]
        if method == "OPTIONS":
            return Response(status_code=204, headers={"allow": self._allow})
        entry = self._entries.get("GET" if method == "HEAD" else method)
        if entry is None:
            entry = next(iter(self._entries.values()))
            call = call_of(scope, entry.mount, self._desk.forwarding.origin(scope))
            answer = respond(entry.dialect.wrong_method(call))
            answer.headers["allow"] = self._allow
            return answer
        call = call_of(scope, entry.mount, self._desk.forwarding.origin(scope))
        try:
            return await self._serve(entry, call, scope, receive)
        except RetouchError as error:
            note(scope, error)
            return respond(entry.dialect.refuse(call, error))
        except ClientDisconnect:  # in the middle of its body; nobody reads what we say
            scope["retouch.refusal"] = "disconnected"
            return Response(status_code=400)
        except Exception:
            log.exception("http.request_failed", address=self._path)
            scope["retouch.refusal"] = "internal"
            return respond(entry.dialect.refuse(call, RetouchError()))

    async def _serve(self, entry: Entry, call: Call, scope: Scope, receive: Receive) -> Response:
        verb, desk = entry.route.verb, self._desk
        desk.gate.check_host(call.headers)
        is_open = (
            entry.route.is_open
            or verb in OPEN_VERBS
            or (verb is Verb.STATUS and self._has_ticket(entry, call))
        )
        caller = NOBODY
        if not is_open:
            caller = await desk.gate.caller(scope)
            caller.require(scope_of(verb))
        if verb in NEW_WORK:
            desk.services.doors.require_open()
        if any("\0" in value for value in call.params.values()):
            raise NotFound("address", self._path)  # no database takes it for a name
        request = Request(scope, self._limited(entry, call, receive))
        reply = await self._reply(entry, call, request, caller)
        for other in entry.beside if verb in SHARED_VERBS else ():
            reply = joined(reply, await self._reply(other, call, request, caller))
        return reply if isinstance(reply, Response) else respond(reply)

    async def _reply(self, entry: Entry, call: Call, request: Request, caller: Caller) -> Reply:
        visit = Visit(
            dialect=entry.dialect,
            beside=tuple(other.dialect for other in entry.beside),
            route=entry.route,
            call=call,
            request=request,
            caller=caller,
            services=self._desk.services,
        )
        try:
            return await HANDLERS[entry.route.verb](visit)
        except RetouchError as error:
            note(request.scope, error)
            return visit.dialect.refuse(visit.call, error)

    def _has_ticket(self, entry: Entry, call: Call) -> bool:
        """Whether the call carries the very ticket of the prediction it asks for."""
        id = self._desk.services.tickets.read(entry.dialect.ticket(call))
        return id is not None and id == entry.dialect.prediction_id(call)

    def _limited(self, entry: Entry, call: Call, receive: Receive) -> Receive:
        if entry.route.verb is Verb.UPLOAD:
            limit = entry.dialect.files.limit_bytes
            return limited(receive, call.headers, "file", limit, UPLOAD_SLACK_BYTES)
        return limited(receive, call.headers, "the request body", self._desk.max_body_bytes)


def joined(first: Reply, second: Reply) -> Reply:
    """One answer with the keys of both; the first keeps its own, and all else of it.

    The second's refusal is the answer: the call has something in it that only the second reads.
    """
    match first, second:
        case Answer(status=200, body=dict(mine)), Answer(status=200, body=dict(theirs)):
            return replace(first, body={**mine, **{k: theirs[k] for k in theirs if k not in mine}})
        case Answer(status=200), Answer():
            return second
        case _:
            return first


class Own:
    """One of our own paths, which no protocol knows: it is there to be read."""

    def __init__(self, path: str, read: Callable[[Request], Awaitable[Response]]) -> None:
        self._path, self._read = path, read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["retouch.address"] = self._path
        request = Request(scope, receive)
        allow = {"allow": "GET, HEAD, OPTIONS"}
        if request.method in ("GET", "HEAD"):
            response = await self._read(request)
        elif request.method == "OPTIONS":
            response = Response(status_code=204, headers=allow)
        else:
            body = {"detail": "This address can only be read.", "status": 405}
            response = JSONResponse(body, status_code=405, headers=allow)
        await response(scope, receive, send)


class Nowhere:
    """Every other path: not found, in the shape of the protocol whose mount it lies under."""

    def __init__(self, desk: Desk, dialects: Sequence[Dialect]) -> None:
        self._desk, self._first = desk, dialects[0]
        mounts = [(mount, dialect) for dialect in dialects for mount in dialect.mounts]
        self._mounts = sorted(mounts, key=lambda it: len(it[0]), reverse=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        under = (it for it in self._mounts if path == it[0] or path.startswith(f"{it[0]}/"))
        mount, dialect = next(under, ("", self._first))
        call = call_of(scope, mount, self._desk.forwarding.origin(scope))
        response = respond(dialect.refuse(call, NotFound("address", path)))
        await response(scope, receive, send)
