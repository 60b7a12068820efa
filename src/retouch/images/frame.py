"""The bytes between a `ProcessDecoder` and its child: a length and a file, a header and pixels."""

import struct
from collections.abc import Mapping

from retouch.domain.edit import Marks
from retouch.domain.failure import FailureKind

REQUEST = struct.Struct("!cQ")
"""What is wanted of a file, PICTURE or one of MASKS, and the length of the file that follows."""

REPLY = struct.Struct("!cIIQ")
"""PICTURE, MASK or one of FAILURES, width, height, and the length of what follows: pixels or a
sentence."""

PICTURE = b"P"
MASK = b"M"
FAILURES: Mapping[FailureKind, bytes] = {
    FailureKind.UNREADABLE: b"U",
    FailureKind.TOO_MANY_BYTES: b"B",
    FailureKind.TOO_MANY_PIXELS: b"X",
}
MASKS: Mapping[Marks, bytes] = {"transparent": b"T", "white": b"W"}
PIXEL_BYTES = {PICTURE: 3, MASK: 1}
MAX_SENTENCE = 1000
"""Longest sentence of a failure that is read, in bytes."""
