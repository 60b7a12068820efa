"""The bytes between a `ProcessDecoder` and its child: a length and a file, a header and pixels."""

import struct
from collections.abc import Mapping

from retouch.domain.edit import Marks

REQUEST = struct.Struct("!cQ")
"""What is wanted of a file, PICTURE or one of MASKS, and the length of the file that follows."""

REPLY = struct.Struct("!cIIQ")
"""PICTURE, MASK or FAILURE, width, height, and the length of what follows: pixels or a sentence."""

PICTURE = b"P"
MASK = b"M"
FAILURE = b"F"
MASKS: Mapping[Marks, bytes] = {"transparent": b"T", "white": b"W"}
PIXEL_BYTES = {PICTURE: 3, MASK: 1}
MAX_SENTENCE = 1000
"""Longest sentence of a FAILURE that is read, in bytes."""
