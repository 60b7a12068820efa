"""OpenAI's files: an upload, the file object, and the caller's list page by page."""

from collections.abc import Sequence
from typing import Any

from retouch.ports import Cursor, File
from retouch.protocols.base import Answer, Call, Listing, Part, Upload
from retouch.protocols.dialect import FileDialect
from retouch.protocols.openai.errors import invalid, missing, refuse
from retouch.protocols.openai.fields import PURPOSE, PURPOSES
from retouch.protocols.values import shown

PAGE = 1000
"""Most files of one page; where there are more the answer says so."""
LONGEST_PAGE = 10_000
"""Most that a caller may ask for."""


class Files(FileDialect):
    """Pictures to be named by their ids. At `/v1/files` Replicate's are sent and read, too."""

    def claims(self, parts: Sequence[Part]) -> bool:
        names = {part.name for part in parts}
        return "content" not in names and not names.isdisjoint(("file", "purpose"))

    def upload(self, call: Call, parts: Sequence[Part]) -> Upload:
        by_name = {part.name: part for part in parts}
        for name in ("file", "purpose"):
            if name not in by_name:
                refuse(missing(name))
        purpose = by_name["purpose"].data.decode("utf-8", "replace")
        if purpose not in PURPOSES:
            choices = ", ".join(f"'{it}'" for it in PURPOSES)
            refuse(invalid("purpose", f"supported values are {choices}", shown(purpose)))
        file = by_name["file"]
        return Upload(
            name=file.filename or "file",
            content_type=file.content_type or "application/octet-stream",
            data=file.data,
        )

    def uploaded(self, call: Call, file: File, link: str) -> Answer:
        return Answer(status=200, body=_body(file))

    def file(self, call: Call, file: File) -> Answer:
        return Answer(status=200, body=_body(file))

    def deleted(self, call: Call, file: File) -> Answer:
        return Answer(status=200, body={"id": file.id, "object": "file", "deleted": True})

    def listing(self, call: Call) -> Listing:
        order = call.query.get("order", "desc")
        if order != "desc":
            refuse(invalid("order", "supported values are 'desc'", shown(order)))
        return Listing(
            limit=min(_limit(call), PAGE),
            after_id=call.query.get("after", ""),
            nothing=call.query.get("purpose", PURPOSE) != PURPOSE,
        )

    def page(self, call: Call, files: Sequence[File], after: Cursor | None) -> Answer:
        body = {
            "object": "list",
            "data": [_body(file) for file in files],
            "first_id": files[0].id if files else None,
            "last_id": files[-1].id if files else None,
            "has_more": after is not None,
        }
        return Answer(status=200, body=body)


def _body(file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": int(file.created_at),
        "expires_at": int(file.expires_at),
        "filename": file.name,
        "purpose": PURPOSE,
        "status": "processed",
    }


def _limit(call: Call) -> int:
    text = call.query.get("limit", str(PAGE))
    if not text.isdecimal() or len(text) > 9:
        refuse(invalid("limit", "expected an integer", shown(text), "invalid_type"))
    if not 1 <= int(text) <= LONGEST_PAGE:
        rule = f"expected a value from 1 to {LONGEST_PAGE}"
        refuse(invalid("limit", rule, int(text)))
    return int(text)
