"""From an ASGI request to a protocol's `Call`: the origin, the body within its limit, the parts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from retouch.domain.errors import InvalidEdit, TooLarge, Violation
from retouch.protocols.base import Call, Part

SAFE_HOST = re.compile(r"[A-Za-z0-9.\-_]+(?::\d+)?|\[[0-9A-Fa-f:.]+\](?::\d+)?")
MAX_PARTS = 100
MAX_FIELD_BYTES = 64 * 1024 * 1024  # a multipart field without a file name: it may be a data URI


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """How URLs in answers begin: as configured, or as the caller spelled it."""

    public_url: str = ""
    trust_forwarded: bool = False

    def of(self, scope: Scope, headers: Mapping[str, str]) -> str:
        """Scheme and host, without a slash at the end."""
        if self.public_url:
            return self.public_url.rstrip("/")
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


def call_of(request: Request, mount: str, origins: Origins) -> Call:
    """The call without its body."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Call(
        method=request.method,
        path=request.url.path,
        params={name: str(value) for name, value in request.path_params.items()},
        query=dict(request.query_params),
        query_text=request.url.query,
        headers=headers,
        origin=origins.of(request.scope, headers),
        mount=mount,
        request_id=str(request.scope.get("retouch.request", "")),
    )


async def with_body(call: Call, request: Request) -> Call:
    """The call with its whole body; raises TooLarge while reading."""
    return replace(call, body=await request.body())


async def with_parts(call: Call, request: Request) -> Call:
    """The call with its body, in parts if it is multipart; raises InvalidEdit, TooLarge."""
    if is_multipart(request):
        return replace(call, parts=tuple(await parts_of(request)))
    return await with_body(call, request)


def is_multipart(request: Request) -> bool:
    """Whether the body says it comes in parts."""
    kind = request.headers.get("content-type", "").lower()
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
        rule = Violation("", "invalid_multipart", "The multipart body cannot be read")
        raise InvalidEdit((rule,)) from None


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
    """A `receive` that raises TooLarge(what, limit) once the body passes limit and slack."""
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


def _first(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "").partition(",")[0].strip()
