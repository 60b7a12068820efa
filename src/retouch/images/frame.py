"""The bytes between a `ProcessDecoder` and its child: a length and a file, a header and pixels."""

import struct

REQUEST = struct.Struct("!Q")
"""Length of the file that follows."""

REPLY = struct.Struct("!cIIQ")
"""PICTURE or FAILURE, width, height, and the length of the pixels or the sentence that follow."""

PICTURE = b"P"
FAILURE = b"F"
MAX_SENTENCE = 1000
"""Longest sentence of a FAILURE that is read, in bytes."""
