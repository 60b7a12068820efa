"""fal's storage: where clients send files ahead, and how they hear of the link to them."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from retouch.domain.errors import NotFound
from retouch.ports import File
from retouch.protocols.base import Answer, Call, Part, Place, Upload
from retouch.protocols.dialect import FileDialect, PlaceDialect
from retouch.protocols.fal.errors import headers_of, refuse
from retouch.protocols.schema import type_name

MAX_PARTS = 1000
TOKEN_EXPIRES_AT = "2099-12-31T23:59:59+00:00"  # noqa: S105  a moment; a token is the caller's key
NO_KEY = "none"
PLACE_FIELDS = ("file_name", "content_type")


def token_body(call: Call) -> Mapping[str, str]:
    """A token for sending files: the caller's own key, which is all our storage asks for."""
    sent = call.headers.get("authorization", "").partition(" ")[2].strip()
    bare = call.headers.get("x-key") or call.headers.get("x-api-key")
    return {
        "token": sent or bare or NO_KEY,
        "token_type": "Bearer",
        "base_url": f"{call.origin}/cdn",
        "expires_at": TOKEN_EXPIRES_AT,
    }


class Files(FileDialect):
    """An upload in one call."""

    def upload(self, call: Call, parts: Sequence[Part]) -> Upload:
        """A raw body, or the first file of a form."""
        part = next((it for it in parts if it.filename is not None), None)
        if part is not None:
            kind = part.content_type or "application/octet-stream"
            return Upload(name=part.filename or "file", content_type=kind, data=part.data)
        if _type(call).lower().startswith("multipart/"):
            refuse("file", "missing", "Field required")
        return Upload(name=_name(call), content_type=_type(call), data=call.body)

    def uploaded(self, call: Call, file: File, link: str) -> Answer:
        return Answer(status=200, body={"access_url": link}, headers=headers_of(call))


class Places(PlaceDialect):
    """An upload whose bytes are sent to an address of their own, whole or in parts."""

    def reserve(self, call: Call) -> Upload:
        """What is to come: told in a body by one client, in headers by the other."""
        if _is_by_headers(call):
            return Upload(name=_name(call), content_type=_type(call), data=b"")
        body = call.json() if call.body else {}
        if not isinstance(body, dict):
            refuse("", "dict_type", "Input should be a valid dictionary", body)
        said = {name: body[name] for name in PLACE_FIELDS if body.get(name) is not None}
        for name, value in said.items():
            if not isinstance(value, str) or "\0" in value:
                refuse(name, "string_type", "Input should be a valid string", value)
        kind = said.get("content_type") or "application/octet-stream"
        return Upload(name=said.get("file_name") or "file", content_type=kind, data=b"")

    def reserved(self, call: Call, place: Place) -> Answer:
        if _is_by_headers(call):
            # Parts are sent to this link with more appended, so it must have no query.
            body = {"access_url": place.link, "uploadId": place.ticket}
        else:
            url = call.url(f"/storage/upload/{place.ticket}")
            body = {"upload_url": url, "file_url": place.link}
        return Answer(status=200, body=body, headers=headers_of(call))

    def filled(self, call: Call, file: File) -> Answer:
        return Answer(status=200, body={}, headers=headers_of(call))

    def part(self, call: Call) -> int:
        text = call.params["part"]
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_PARTS):
            raise NotFound("part", text)
        return int(text)

    def part_filled(self, call: Call, number: int, tag: str) -> Answer:
        """Told twice: one client reads the header, the other the body."""
        body = {"partNumber": number, "etag": tag}
        return Answer(status=200, body=body, headers=headers_of(call, etag=tag))

    def parts(self, call: Call) -> Sequence[int]:
        body = call.json()
        parts = body.get("parts") if isinstance(body, dict) else None
        if not isinstance(parts, list) or not parts:
            refuse("parts", "missing", "Field required")
        return [_number(n, part) for n, part in enumerate(parts)]


def _number(place: int, part: Any) -> int:
    number: Any = part.get("partNumber") if isinstance(part, dict) else None
    is_whole = type_name(number) == "integer" or (isinstance(number, float) and number % 1 == 0)
    if not is_whole or not 1 <= number <= MAX_PARTS:
        words = f"Input should be a valid integer from 1 to {MAX_PARTS}"
        refuse(f"parts.{place}.partNumber", "int_type", words, number)
    return int(number)


def _is_by_headers(call: Call) -> bool:
    return call.path.endswith("/files/upload/multipart")


def _name(call: Call) -> str:
    return unquote(call.headers.get("x-fal-file-name", "")).replace("\0", "") or "file"


def _type(call: Call) -> str:
    return call.headers.get("content-type", "") or "application/octet-stream"
