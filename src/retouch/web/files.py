"""Signed links to pictures, and sending bytes: ranges, tags, and nothing a browser may run."""

import hashlib
import math
import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from retouch.domain.errors import Busy, NotFound
from retouch.service.files import picture_type
from retouch.web.refusals import note
from retouch.web.services import Services

CONTENT_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
}
RANGE = re.compile(r"bytes=(\d*)-(\d*)")
SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "cross-origin",
    "accept-ranges": "bytes",
}


async def signed_file(request: Request, services: Services) -> Response:
    """The blob a signed link names. The link is the permission: no key is asked for."""
    key, expires, signature = services.links.read(request.path_params["key"], request.query_params)
    if not services.links.allows(key, expires, signature):
        return _refused(403, "This link is not valid: its signature does not match.")
    if services.links.has_expired(expires):
        return _refused(403, "This link has expired; get the prediction again for a new one.")
    try:
        data = await services.blobs.open(key)
    except NotFound:
        return _refused(404, "This file is no longer kept.")
    except Busy as error:
        note(request.scope, error)
        answer = _refused(503, f"It cannot be sent now: {error}.")
        answer.headers["retry-after"] = str(math.ceil(error.retry_after_s))
        return answer
    # A blob never changes under its key, so the key is tag enough.
    tag = hashlib.sha256(key.encode()).hexdigest()[:32]
    return serve_bytes(request, data, content_type=_type_of(key, data), tag=tag)


def serve_bytes(request: Request, data: bytes, *, content_type: str, tag: str) -> Response:
    """Bytes, or the range asked for, or nothing when the caller has them already."""
    # Only pictures are shown in place; anything else a caller uploaded is saved to disk.
    place = "inline" if content_type in CONTENT_TYPES.values() else "attachment"
    headers = {
        **SAFE_HEADERS,
        "etag": f'"{tag}"',
        "content-type": content_type,
        "content-disposition": place,
        "cache-control": "private, max-age=3600",
    }
    if f'"{tag}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    asked = RANGE.fullmatch(request.headers.get("range", "").strip())
    if asked is None or not (asked[1] or asked[2]) or "if-range" in request.headers:
        return Response(data, headers=headers)
    start, end = _range(asked[1], asked[2], len(data))
    if start >= end:
        return Response(status_code=416, headers={"content-range": f"bytes */{len(data)}"})
    headers["content-range"] = f"bytes {start}-{end - 1}/{len(data)}"
    return Response(data[start:end], status_code=206, headers=headers)


def _range(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(int(last) + 1, size) if last else size


def _type_of(key: str, data: bytes) -> str:
    named = CONTENT_TYPES.get(key.rpartition(".")[2])
    return named or picture_type(data) or "application/octet-stream"


def _refused(status: int, detail: str) -> Response:
    body = {"detail": detail, "status": status}
    return JSONResponse(body, status_code=status, headers={"cache-control": "no-store"})
