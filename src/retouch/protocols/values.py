"""A caller's values as refusals repeat them: short, and without what an address may hide."""

import json
import re
from collections.abc import Collection
from typing import Any

from retouch.protocols.data_uri import is_data_uri

MOST_SHOWN = 60
"""Characters of a text; a longer one is cut and its length told."""

LARGEST = 2**64
Shown = str | int | float | None


class Bare(str):
    """The short form of a value that is no text, shown without quotes."""

    __slots__ = ()


USER = re.compile(r"(?<=://)[^/?#@]*@")


def shown(value: Any) -> Shown:
    """A number or a flag as it is; of a text the beginning; of anything else how much it holds.

    The user, the password and the query of an address are left out, and the bytes of a data URI.
    """
    match value:
        case None | bool():
            return value
        case int() | float() if abs(value) <= LARGEST:
            return value
        case int() | float():
            return Bare("a number beyond 64 bits")
        case str():
            return _shortened(value)
        case list() | tuple():
            return _listed(value, value, "item")
        case _:
            return _listed(value, value.values(), "field")


def _listed(value: Any, held: Collection[Any], what: str) -> str:
    """Numbers as they are; anything else may be long or secret, and is counted."""
    if all(isinstance(it, int | float) for it in held):
        return Bare(_cut(json.dumps(value)))
    return Bare(f"{len(held)} {what}{'s' * (len(held) > 1)}")


def as_json(value: Shown) -> Shown:
    """The value as a field of an answer."""
    return str(value) if isinstance(value, Bare) else value


def after(words: str, value: Shown) -> str:
    """A sentence that breaks off, and the value that broke its rule."""
    return words if value is None else f"{words}, got {spelled(value)}"


def spelled(value: Shown) -> str:
    """The value as it stands in a sentence: a text in double quotes."""
    return value if isinstance(value, Bare) else json.dumps(value, ensure_ascii=False)


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
