"""What each verb does. Written once: handlers know verbs, never vendors."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from retouch.domain.errors import NotFound, TooLarge
from retouch.domain.grant import Scope
from retouch.domain.prediction import Prediction
from retouch.ports import Cursor
from retouch.protocols.base import Answer, Call, Facts, Listing, Route, Submission, Verb, View
from retouch.protocols.dialect import Dialect
from retouch.service.intake import Sender, fingerprint
from retouch.web import places, sse
from retouch.web.auth import Caller
from retouch.web.files import serve_bytes
from retouch.web.reading import is_gone, is_multipart, parts_of, with_body, with_parts
from retouch.web.services import Services

Reply = Answer | Response
Handler = Callable[["Visit"], Awaitable[Reply]]
T = TypeVar("T")

LONG_BODY_BYTES = 1_000_000


class Visit:
    """One authenticated request to one address of one protocol.

    `beside` are the other protocols that have the address too.
    """

    __slots__ = ("beside", "call", "caller", "dialect", "owner", "request", "route", "services")

    def __init__(
        self,
        *,
        dialect: Dialect,
        beside: tuple[Dialect, ...],
        route: Route,
        call: Call,
        request: Request,
        caller: Caller,
        services: Services,
    ) -> None:
        self.dialect, self.beside, self.route, self.call = dialect, beside, route, call
        self.caller, self.owner = caller, caller.owner
        self.request, self.services = request, services

    def view(self, prediction: Prediction, position: int | None = None) -> View:
        """A prediction with its links, under the origin this caller used."""
        return self.services.views.of(prediction, self.call.origin, position=position)

    async def current_view(self, prediction: Prediction, before: View | None = None) -> View:
        """The same, with its place in the queue or its pictures where the protocol shows them.

        `before` is an earlier view of it, whose previews stand.
        """
        shown = self.dialect.shows_position and not prediction.status.is_final
        position = await self.services.predictions.position(prediction.id) if shown else None
        view = self.view(prediction, position)
        if self.dialect.streams.shows_previews:
            view = replace(view, previews=await self._previews(prediction, before))
        if prediction.outputs and self.dialect.inlines(self.call, prediction):
            outputs = [await self._inline(it.key, it.content_type) for it in prediction.outputs]
            return replace(view, outputs=tuple(outputs))
        return view

    async def _previews(self, prediction: Prediction, before: View | None) -> tuple[str, ...]:
        found = list(before.previews if before else ())
        stored = prediction.progress.previews if prediction.progress else 0
        with suppress(NotFound):  # removed after the prediction's end
            for number in range(len(found), stored):
                key, form = prediction.preview_key(number), prediction.edit.output_format
                found.append(await self._inline(key, form.content_type))
        return tuple(found)

    async def _inline(self, key: str, content_type: str) -> str:
        data = base64.b64encode(await self.services.blobs.open(key)).decode()
        return f"data:{content_type};base64,{data}"


async def submit(visit: Visit) -> Reply:
    """Accept an edit; hold the answer for as long as was asked, or until it is done."""
    call = visit.call = await with_parts(visit.call, visit.request)
    size = len(call.body) + sum(len(part.data) for part in call.parts)
    submission, digest = await _off_loop(size, partial(_understood, visit, call))
    sender = Sender(
        owner=visit.owner,
        protocol=visit.dialect.name,
        fingerprint=digest,
        once=_once(visit.owner, call),
        grant=visit.caller.grant,
        request=visit.request.scope.get("retouch.request", ""),
        trace=visit.request.scope.get("retouch.trace", ""),
    )
    if await visit.services.unheard.repeats(digest):
        submission = replace(submission, is_retry=True)
    with visit.services.unheard.answering(digest, partial(is_gone, visit.request)) as create:
        prediction = await visit.services.intake.accept(submission, sender)
        create.accepted.set()
        if submission.streams:
            return _followed(visit, prediction)
        if submission.wait_s is not None:
            await visit.services.predictions.wait(prediction.id, submission.wait_s)
            prediction = await visit.services.predictions.get(prediction.id, visit.owner)
        return visit.dialect.submitted(call, submission, await visit.current_view(prediction))


def _understood(visit: Visit, call: Call) -> tuple[Submission, str]:
    # The parts, not the multipart body: its boundary differs when a client repeats itself.
    pieces = [text for part in call.parts for text in (part.name.encode(), part.data)]
    address = f"{call.path}?{call.query_text}"
    return visit.dialect.parse(call), fingerprint(visit.owner, address, call.body, *pieces)


def _once(owner: str, call: Call) -> str:
    """What an `Idempotency-Key` stands for: this caller, this address, this key."""
    key = call.headers.get("idempotency-key", "").strip()
    return fingerprint(owner, call.path, b"once " + key.encode()) if key else ""


async def _off_loop(size: int, work: Callable[[], T]) -> T:
    """Work on so many bytes: in a thread when it would keep other callers waiting."""
    return await asyncio.to_thread(work) if size > LONG_BODY_BYTES else work()


async def status(visit: Visit) -> Reply:
    """One prediction."""
    id = visit.dialect.prediction_id(visit.call)
    # Nobody in particular was let in by the prediction's own ticket.
    prediction = await visit.services.predictions.get(id, visit.owner or None)
    return visit.dialect.status(visit.call, await visit.current_view(prediction))


async def cancel(visit: Visit) -> Reply:
    """Cancel, and show the prediction after it."""
    id = visit.dialect.prediction_id(visit.call)
    prediction, won = await visit.services.predictions.cancel(id, visit.owner)
    return visit.dialect.canceled(visit.call, visit.view(prediction), won=won)


async def delete(visit: Visit) -> Reply:
    """End one prediction and forget it."""
    id = visit.dialect.prediction_id(visit.call)
    view = visit.view(await visit.services.predictions.get(id, visit.owner))
    await visit.services.eraser.delete(id, visit.owner)
    return visit.dialect.erased(visit.call, view)


async def delete_many(visit: Visit) -> Reply:
    """Forget each; what is unknown, another's, or forgotten already does not count."""
    call = visit.call = await with_body(visit.call, visit.request)
    count = 0
    for id in visit.dialect.prediction_ids(call):
        try:
            count += await visit.services.eraser.delete(id, visit.owner)
        except NotFound:
            continue
    return visit.dialect.erased_many(call, count)


async def list_predictions(visit: Visit) -> Reply:
    """A page of the caller's predictions."""
    visit.call = await with_body(visit.call, visit.request)
    wanted: Listing = visit.dialect.listing(visit.call)
    if wanted.nothing:
        return visit.dialect.page(visit.call, (), None)
    page, following = await visit.services.predictions.page(
        visit.owner,
        limit=wanted.limit,
        after=wanted.after,
        where=wanted.where,
        skip=wanted.skip,
        keep=wanted.keep,
    )
    return visit.dialect.page(visit.call, [visit.view(it) for it in page], following)


async def stream(visit: Visit) -> Reply:
    """Server-sent events of one prediction's end; the ticket in the path is the permission."""
    id = visit.services.tickets.read(visit.call.params["ticket"])
    if id is None:
        raise NotFound("stream", visit.call.params["ticket"])
    prediction = await visit.services.predictions.get(id, None)
    return sse.stream(visit.dialect.streams, visit.call, prediction, visit.services)


async def follow(visit: Visit) -> Reply:
    """Server-sent events of one prediction's every change."""
    id = visit.dialect.prediction_id(visit.call)
    return _followed(visit, await visit.services.predictions.get(id, visit.owner))


def _followed(visit: Visit, prediction: Prediction) -> Response:
    services, view_of = visit.services, visit.current_view
    return sse.follow(visit.dialect.streams, visit.call, prediction, services, view_of)


async def upload(visit: Visit) -> Reply:
    """Keep a file."""
    parts = await parts_of(visit.request)
    visit.dialect = next((it for it in visit.beside if it.files.claims(parts)), visit.dialect)
    is_read = is_multipart(visit.request)  # also one without any parts
    call = visit.call if is_read else await with_body(visit.call, visit.request)
    sent = visit.dialect.files.upload(call, parts)
    if len(sent.data) > visit.dialect.files.limit_bytes:
        raise TooLarge("file", visit.dialect.files.limit_bytes)
    kept = await visit.services.uploads.add(visit.owner, sent)
    link = visit.services.links.bare(call.origin, kept.key)
    return visit.dialect.files.uploaded(call, kept, link)


async def file(visit: Visit) -> Reply:
    """What is known of an upload."""
    found = await visit.services.uploads.get(visit.call.params["id"], visit.owner)
    return visit.dialect.files.file(visit.call, found)


async def list_files(visit: Visit) -> Reply:
    """A page of the caller's uploads."""
    wanted = visit.dialect.files.listing(visit.call)
    if wanted.nothing:
        return visit.dialect.files.page(visit.call, (), None)
    after = wanted.after
    if wanted.after_id:
        last = await visit.services.uploads.get(wanted.after_id, visit.owner)
        after = Cursor(last.created_at, last.id)
    page, following = await visit.services.uploads.page(
        visit.owner, limit=wanted.limit, after=after
    )
    return visit.dialect.files.page(visit.call, page, following)


async def delete_file(visit: Visit) -> Reply:
    """Forget an upload."""
    gone = await visit.services.uploads.delete(visit.call.params["id"], visit.owner)
    return visit.dialect.files.deleted(visit.call, gone)


async def download(visit: Visit) -> Reply:
    """An upload's bytes."""
    found = await visit.services.uploads.get(visit.call.params["id"], visit.owner)
    data = await visit.services.uploads.open(found)
    return serve_bytes(visit.request, data, content_type=found.content_type, tag=found.sha256)


async def describe(visit: Visit) -> Reply:
    """Whatever follows from the catalogue and the caller alone."""
    visit.call = await with_body(visit.call, visit.request)
    signer = visit.services.signer
    facts = Facts(
        owner=visit.owner,
        weights=visit.services.catalogue.weights,
        webhook_secrets=signer.secrets(visit.owner) if visit.owner else (),
        public_keys=signer.public_keys,
    )
    return visit.dialect.describe(visit.route.topic, visit.call, facts)


HANDLERS: Mapping[Verb, Handler] = {
    Verb.SUBMIT: submit,
    Verb.STATUS: status,
    Verb.CANCEL: cancel,
    Verb.DELETE: delete,
    Verb.DELETE_MANY: delete_many,
    Verb.LIST: list_predictions,
    Verb.STREAM: stream,
    Verb.FOLLOW: follow,
    Verb.UPLOAD: upload,
    Verb.FILE: file,
    Verb.FILES: list_files,
    Verb.DELETE_FILE: delete_file,
    Verb.DOWNLOAD: download,
    Verb.RESERVE: places.reserve,
    Verb.FILL: places.fill,
    Verb.FILL_PART: places.fill_part,
    Verb.COMPLETE: places.complete,
    Verb.DESCRIBE: describe,
}

READ_VERBS = frozenset(
    {
        Verb.STATUS,
        Verb.LIST,
        Verb.FOLLOW,
        Verb.FILE,
        Verb.FILES,
        Verb.DOWNLOAD,
        Verb.DESCRIBE,
    }
)
"""Verbs that change nothing."""


def scope_of(verb: Verb) -> Scope:
    """The scope a key needs for a verb."""
    return Scope.READ if verb in READ_VERBS else Scope.WRITE


PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))


def respond(answer: Answer) -> Response:
    """An answer on the wire."""
    body = answer.body
    if body is None or isinstance(body, bytes):
        return Rendered(answer.status, answer.headers, body or b"")
    headers = {"content-type": "application/json; charset=utf-8", **answer.headers}
    return Rendered(answer.status, headers, msgspec.json.encode(body))


class Rendered(Response):
    """A response whose headers are spelled once; Starlette's looks through them three times."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status_code, self.body, self.background = status, body, None
        found = [(name.lower().encode(), header_value(it).encode()) for name, it in headers.items()]
        if status != 204:
            found.append((b"content-length", str(len(body)).encode()))
        self.raw_headers = found


def header_value(text: str) -> str:
    """A text as a header may hold it: what is not printable ASCII is percent-encoded.

    Answers repeat parts of a caller's address in headers, which may hold any character.
    """
    return text if text.isascii() and text.isprintable() else quote(text, safe=PRINTABLE)
