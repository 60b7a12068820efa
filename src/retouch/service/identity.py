"""Ids, and the tickets derived from them.

An id is 26 characters of lower-case Crockford base 32. Its number is a random UUID (version 4),
so that protocols can spell it as one, and its 122 random bits cannot be guessed.
A ticket is 52 letters and digits (RFC 4648 base 32): the id spelled in that alphabet and a MAC
over it. Whoever holds it may follow that one prediction; nothing is stored for it.
"""

import hashlib
import hmac
from collections.abc import Callable
from functools import lru_cache

from retouch.domain.ids import CROCKFORD, ID_LENGTH, id_of

Entropy = Callable[[int], bytes]
"""So many random bytes; `secrets.token_bytes` outside tests."""

RANDOM_BITS = ~(0xC << 60 | 0xF << 76)
VERSION_4 = 0x8 << 60 | 0x4 << 76
"""The six bits that say what kind of UUID it is."""
MAC_BYTES = 17
RFC_4648 = "abcdefghijklmnopqrstuvwxyz234567"


def draw_id(entropy: Entropy) -> str:
    """A new id."""
    return id_of(int.from_bytes(entropy(16), "big") & RANDOM_BITS | VERSION_4)


def draw_seed(entropy: Entropy) -> int:
    """A seed every protocol can express: 31 bits."""
    return int.from_bytes(entropy(4), "big") >> 1


class Tickets:
    """Issues tickets under the first secret and reads those of all, so that secrets can rotate."""

    def __init__(self, *secrets: bytes) -> None:
        derived = (hmac.digest(it, b"retouch ticket", "sha256") for it in secrets)
        self._first, *self._others = derived

    def issue(self, id: str) -> str:
        """The ticket of a prediction; empty for an id we did not draw."""
        return _ticket(self._first, id)

    def read(self, ticket: str) -> str | None:
        """The id a ticket was issued for, or None when it is not one of ours."""
        spelled = ticket[:ID_LENGTH]
        if (
            len(ticket) != 2 * ID_LENGTH
            or not ticket.isascii()
            or not set(spelled) <= set(RFC_4648)
        ):
            return None
        id = spelled.translate(_TO_CROCKFORD)
        is_ours = False
        for key in (self._first, *self._others):
            is_ours |= hmac.compare_digest(ticket, _ticket(key, id))
        return id if is_ours else None


@lru_cache(maxsize=4096)  # whoever polls a prediction sees its ticket each time
def _ticket(key: bytes, id: str) -> str:
    if len(id) != ID_LENGTH or not _LETTERS.issuperset(id):
        return ""
    mac = hashlib.blake2b(id.encode(), key=key, digest_size=MAC_BYTES).digest()
    # Of 130 bits: base 32 spells them in as many letters as an id has.
    spelled = (id + id_of(int.from_bytes(mac, "big") >> 6)).encode()
    return spelled.translate(_TO_RFC).decode()  # bytes: a text is looked up letter by letter


_LETTERS = frozenset(CROCKFORD)
_TO_RFC = bytes.maketrans(CROCKFORD.encode(), RFC_4648.encode())
_TO_CROCKFORD = str.maketrans(RFC_4648, CROCKFORD)
