"""A caller's values as refusals repeat them: short, and without what an address may hide."""

import json
import re
from collections.abc import Collection
from typing import Any

from retouch.protocols.data_uri import is_data_uri

MOST_SHOWN = 60
"""Characters of a text; a longer one is cut and its length told."""

LARGEST = 2**64
Told = str | int | float | None
USER = re.compile(r"(?<=://)[^/?#@]*@")


def told(value: Any) -> Told:
    """A number or a flag as it is; of a text the beginning; of anything else how much it holds.

    The user, the password and the query of an address are left out, and the bytes of a data URI.
    """
    match value:
        case None | bool():
            return value
        case int() | float() if abs(value) <= LARGEST:
            return value
        case int() | float():
            return "a number beyond 64 bits"
        case str():
            return _shortened(value)
        case list() | tuple():
            return _listed(value, value, "item")
        case _:
            return _listed(value, value.values(), "field")


def _listed(value: Any, held: Collection[Any], what: str) -> str:
    """Numbers as they are; anything else may be long or secret, and is counted."""
    if all(isinstance(it, int | float) for it in held):
        return _cut(json.dumps(value))
    return f"{len(held)} {what}{'s' * (len(held) > 1)}"


def _shortened(text: str) -> str:
    if is_data_uri(text):
        return f"{_cut(text.partition(',')[0])},…"
    if "://" in text[:MOST_SHOWN]:
        place, mark, _ = USER.sub("…@", text).partition("?")
        return _cut(place) + f"{mark}…" * bool(mark)
    return _cut(text)


def _cut(text: str) -> str:
    if len(text) <= MOST_SHOWN:
        return text
    return f"{text[:MOST_SHOWN]}… ({len(text)} characters)"
