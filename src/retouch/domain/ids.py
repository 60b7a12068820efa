"""How ids are spelled: 26 letters of lower-case Crockford base 32, or the same number as a UUID."""

import re
from uuid import UUID

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 26

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_OURS = re.compile(f"[0-7][{CROCKFORD}]{{{ID_LENGTH - 1}}}")
_PAIRS = [first + second for first in CROCKFORD for second in CROCKFORD]
_PLACES = range(5 * ID_LENGTH - 10, -1, -10)  # of two letters each
_VALUE = {letter: value for value, letter in enumerate(CROCKFORD)}


def id_of(number: int) -> str:
    """The letters of a number below 2**130."""
    return "".join([_PAIRS[number >> place & 1023] for place in _PLACES])


def as_uuid(id: str) -> str:
    """An id for callers who expect a UUID; an id no UUID can hold stays as it is."""
    if not _OURS.fullmatch(id):
        return id
    number = 0
    for letter in id:
        number = number << 5 | _VALUE[letter]
    return str(UUID(int=number))


def from_uuid(text: str) -> str:
    """The id a UUID spells; any other text stays as it is."""
    return id_of(UUID(text).int) if _UUID.fullmatch(text) else text
