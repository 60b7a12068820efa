"""From an ASGI request to a protocol's `Call`: headers, the body within its limit, parts."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

from retouch.domain.errors import Encoded, InvalidEdit, TooLarge, Violation
from retouch.protocols.base import Call, Part

MAX_PARTS = 100
MAX_FIELD_BYTES = 64 * 1024 * 1024  # a multipart field without a file name: it may be a data URI


def headers_of(scope: Scope) -> Mapping[str, str]:
    """A request's headers by their names in lower case; of several the last."""
    found: dict[str, str] | None = scope.get("retouch.headers")
    if found is None:
        found = {name.decode("latin-1"): it.decode("latin-1") for name, it in scope["headers"]}
        scope["retouch.headers"] = found
    return found


def call_of(scope: Scope, mount: str, origin: str) -> Call:
    """The call without its body."""
    headers, query = headers_of(scope), scope.get("query_string", b"").decode("latin-1")
    return Call(
        method=scope["method"],
        path=scope["path"],
        params=scope.get("path_params", {}),
        query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
        query_text=query,
        headers=headers,
        origin=origin,
        mount=mount,
        request_id=scope.get("retouch.request", ""),
    )


async def with_body(call: Call, request: Request) -> Call:
    """The call with its whole body; raises TooLarge or ClientDisconnect while reading."""
    body: bytes | None = request.scope.get("retouch.body")
    if body is None:
        body = request.scope["retouch.body"] = await _read(request.receive)
    return replace(call, body=body)


async def _read(receive: Receive) -> bytes:
    pieces, has_more = [], True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        has_more = message.get("more_body", False)
    return b"".join(pieces)


def is_gone(request: Request) -> bool:
    """Whether the caller of a request that was read went away, as far as is known by now."""
    looking = request.receive().__await__()
    try:
        next(looking)
    except StopIteration as found:
        return bool(found.value["type"] == "http.disconnect")
    looking.close()  # it would wait: the connection stands
    return False


async def with_parts(call: Call, request: Request) -> Call:
    """The call with its body, in parts if it is multipart; raises InvalidEdit, TooLarge."""
    if not is_multipart(request):
        return await with_body(call, request)
    if parts := await parts_of(request):
        return replace(call, parts=tuple(parts))
    raise _unreadable()  # cut short before the end of its first part, or nothing at all


def is_multipart(request: Request) -> bool:
    """Whether the body says it comes in parts."""
    kind = headers_of(request.scope).get("content-type", "").lower()
    return kind.startswith("multipart/form-data")


async def parts_of(request: Request) -> list[Part]:
    """The parts of a multipart body, empty for any other; raises InvalidEdit, TooLarge."""
    if not is_multipart(request):
        return []
    limits = {"max_files": MAX_PARTS, "max_fields": MAX_PARTS, "max_part_size": MAX_FIELD_BYTES}
    try:
        async with request.form(**limits) as form:
            return [await _part(name, value) for name, value in form.multi_items()]
    except (MultiPartException, HTTPException):
        raise _unreadable() from None


def _unreadable() -> InvalidEdit:
    words = "The multipart body cannot be read"
    return InvalidEdit((Violation("", "invalid_multipart", words),))


async def _part(name: str, value: UploadFile | str) -> Part:
    if isinstance(value, str):
        return Part(name=name, data=value.encode())
    return Part(
        name=name,
        data=await value.read(),
        filename=value.filename or "",
        content_type=value.content_type or "",
    )


def limited(
    receive: Receive, headers: Mapping[str, str], what: str, limit: int, slack: int = 0
) -> Receive:
    """A `receive` that raises TooLarge(what, limit) once the body passes limit and slack.

    Raises Encoded at once for a body that is compressed.
    """
    encoding = headers.get("content-encoding", "")
    if encoding and encoding.strip().lower() != "identity":
        raise Encoded(encoding)
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit + slack:
        raise TooLarge(what, limit)
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit + slack:
            raise TooLarge(what, limit)
        return message

    return counted
