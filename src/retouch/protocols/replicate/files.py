"""Replicate's files: an upload in any client's spelling, and the file object."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from retouch.domain.errors import InvalidEdit
from retouch.ports import Cursor, File
from retouch.protocols.base import Answer, Call, Listing, Part, Upload
from retouch.protocols.dialect import FileDialect
from retouch.protocols.replicate.errors import mistyped, refuse
from retouch.protocols.replicate.fields import UPLOAD_LIMIT_BYTES
from retouch.protocols.replicate.pages import listing_of, page_body
from retouch.protocols.replicate.render import rfc3339


class Files(FileDialect):
    """Uploads in one call, listed by pages like predictions."""

    limit_bytes = UPLOAD_LIMIT_BYTES

    def upload(self, call: Call, parts: Sequence[Part]) -> Upload:
        """The `content` part, and metadata in any of the three spellings clients send."""
        content = next((part for part in parts if part.name == "content"), None)
        if content is None:
            refuse("", "required", "content is required")
        said = {it.name: it.data.decode("utf-8", "replace") for it in parts if it != content}
        metadata = _metadata(said)
        if b"\\u0000" in msgspec.json.encode(metadata):
            refuse("metadata", "format", "Must not contain null characters", metadata)
        return Upload(
            name=said.get("filename") or content.filename or "file",
            content_type=said.get("type") or content.content_type or "application/octet-stream",
            data=content.data,
            metadata=metadata,
        )

    def uploaded(self, call: Call, file: File, link: str) -> Answer:
        return Answer(status=201, body=_body(call, file))

    def file(self, call: Call, file: File) -> Answer:
        return Answer(status=200, body=_body(call, file))

    def listing(self, call: Call) -> Listing:
        return listing_of(call)

    def page(self, call: Call, files: Sequence[File], after: Cursor | None) -> Answer:
        results = [_body(call, file) for file in files]
        return Answer(status=200, body=page_body(call, "/files", results, after))

    def deleted(self, call: Call, file: File) -> Answer:
        return Answer(status=204)


def _metadata(said: Mapping[str, str]) -> dict[str, Any]:
    if "metadata" in said:
        try:
            metadata = msgspec.json.decode(said["metadata"] or "{}")
        except (msgspec.MsgspecError, RecursionError):
            refuse("metadata", "invalid_json", "metadata is not valid JSON", said["metadata"])
        if not isinstance(metadata, dict):
            raise InvalidEdit((mistyped("metadata", "object", metadata),))
        return metadata
    flat: dict[str, Any] = {}
    for name, text in said.items():
        if name.startswith("metadata["):
            *outer, last = re.findall(r"\[([^\[\]]*)\]", name) or [""]
            place = flat
            for key in outer:
                inner = place.setdefault(key, {})
                place = inner if isinstance(inner, dict) else place
            place[last] = text
    return flat


def _body(call: Call, file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "name": file.name,
        "content_type": file.content_type,
        "size": file.size_bytes,
        "etag": file.md5,
        "checksums": {"sha256": file.sha256, "md5": file.md5},
        "metadata": dict(file.metadata),
        "created_at": rfc3339(file.created_at, "milliseconds"),
        "expires_at": rfc3339(file.expires_at, "milliseconds"),
        "urls": {"get": call.url(f"/files/{file.id}")},
    }
