"""Which page of the caller's files is asked for."""

from retouch.protocols.base import Call, Listing
from retouch.protocols.openai.errors import invalid, refuse
from retouch.protocols.openai.fields import PURPOSE
from retouch.protocols.values import told

PAGE = 1000
"""Most files of one page; where there are more the answer says so."""
LONGEST_PAGE = 10_000
"""Most that a caller may ask for."""


def listing_of(call: Call) -> Listing:
    """Read the query; raises InvalidEdit."""
    order = call.query.get("order", "desc")
    if order != "desc":
        refuse(invalid("order", "supported values are 'desc'", told(order)))
    return Listing(
        limit=min(_limit(call), PAGE),
        after_id=call.query.get("after", ""),
        nothing=call.query.get("purpose", PURPOSE) != PURPOSE,
    )


def _limit(call: Call) -> int:
    text = call.query.get("limit", str(PAGE))
    if not text.isdecimal() or len(text) > 9:
        refuse(invalid("limit", "expected an integer", told(text), "invalid_type"))
    if not 1 <= int(text) <= LONGEST_PAGE:
        rule = f"expected a value from 1 to {LONGEST_PAGE}"
        refuse(invalid("limit", rule, int(text)))
    return int(text)
