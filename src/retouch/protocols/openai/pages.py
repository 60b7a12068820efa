"""OpenAI's list of the caller's files, page by page."""

from collections.abc import Sequence

from retouch.ports import Cursor, File
from retouch.protocols.base import Answer, Call, Listing
from retouch.protocols.dialect import FileDialect
from retouch.protocols.openai.errors import invalid, refuse
from retouch.protocols.openai.fields import PURPOSE
from retouch.protocols.openai.render import files_body
from retouch.protocols.values import shown

PAGE = 1000
"""Most files of one page; where there are more the answer says so."""
LONGEST_PAGE = 10_000
"""Most that a caller may ask for."""


class Files(FileDialect):
    """Files that were uploaded by other protocols."""

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
        return Answer(status=200, body=files_body(files, after))


def _limit(call: Call) -> int:
    text = call.query.get("limit", str(PAGE))
    if not text.isdecimal() or len(text) > 9:
        refuse(invalid("limit", "expected an integer", shown(text), "invalid_type"))
    if not 1 <= int(text) <= LONGEST_PAGE:
        rule = f"expected a value from 1 to {LONGEST_PAGE}"
        refuse(invalid("limit", rule, int(text)))
    return int(text)
