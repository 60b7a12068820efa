"""Replicate's pages: which one is asked for, and the link to the next.

A cursor is the base 64 of a query string that holds a place in the list, newest first.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from math import isfinite
from typing import Any
from urllib.parse import parse_qs, urlencode

from retouch.ports import Cursor, Filter
from retouch.protocols.base import Call, Listing
from retouch.protocols.replicate.errors import refuse

CURSOR_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def listing_of(call: Call) -> Listing:
    where = Filter(
        created_after=_moment(call, "created_after"),
        created_before=_moment(call, "created_before"),
    )
    return Listing(after=_cursor(call), where=where, nothing=call.query.get("source") == "web")


def _moment(call: Call, name: str) -> float | None:
    text = call.query.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # an unescaped + arrives as a space
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        refuse(name, "format", "Does not match format 'date-time'", text)


def _cursor(call: Call) -> Cursor | None:
    text = call.query.get("cursor")
    if not text:
        return None
    try:
        place = parse_qs(urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
        cursor = Cursor(float(place["p"][0]), place["i"][0])
    except (ValueError, KeyError):
        cursor = None
    if cursor is None or not isfinite(cursor.created_at) or not CURSOR_ID.fullmatch(cursor.id):
        refuse("cursor", "format", "Does not match format 'cursor'", text)
    return cursor


def page_body(call: Call, path: str, results: list[Any], after: Cursor | None) -> dict[str, Any]:
    following = None
    if after is not None:
        place = urlencode({"p": repr(after.created_at), "i": after.id}).encode()
        cursor = urlsafe_b64encode(place).decode().rstrip("=")
        kept = {k: v for k, v in call.query.items() if k in ("created_after", "created_before")}
        following = call.url(f"{path}?{urlencode({**kept, 'cursor': cursor})}")
    return {"next": following, "previous": None, "results": results}
