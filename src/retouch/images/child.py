"""The decoding child: reads files from its standard input until it ends, answers with pixels.

Before it reads a byte its memory is limited and it can open no more: no file, no socket, no
program. When the parent dies its standard input ends, and so does it.
"""

import sys
from typing import IO

from PIL import (
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from retouch.domain.errors import BadInput
from retouch.domain.picture import Mask, Picture
from retouch.images.decode import ImageLimits, decode_bytes, decode_mask
from retouch.images.frame import FAILURES, MASK, MASKS, PICTURE, REPLY, REQUEST

PLUGINS = (
    *(GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin),
    *(MpoImagePlugin, TiffImagePlugin),  # of a camera's jpeg; the reader of EXIF
)
"""Imported before anything is limited, for their registration or because the others need them."""


def main(arguments: list[str]) -> None:
    """Serve; the arguments are memory in bytes, then `ImageLimits` in order."""
    memory_bytes, max_bytes, max_pixels, max_side = map(int, arguments)
    limits = ImageLimits(max_bytes=max_bytes, max_pixels=max_pixels, max_side=max_side)
    Image.preinit()  # else the first `open` imports these
    Image.MAX_IMAGE_PIXELS = None  # `limits` rule here, with a better sentence
    _confine(memory_bytes)
    serve(sys.stdin.buffer, sys.stdout.buffer, limits)


def serve(requests: IO[bytes], replies: IO[bytes], limits: ImageLimits) -> None:
    """Answer every request until there are no more."""
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        wanted, length = REQUEST.unpack(head)
        data = requests.read(length)
        if len(data) < length:
            return
        try:
            decoded = _decoded(wanted, data, limits)
        except BadInput as error:
            body = str(error).encode()
            replies.write(REPLY.pack(FAILURES[error.failure_kind], 0, 0, len(body)))
        else:
            body, kind = decoded.data, PICTURE if isinstance(decoded, Picture) else MASK
            replies.write(REPLY.pack(kind, decoded.width, decoded.height, len(body)))
        replies.write(body)
        replies.flush()


def _decoded(wanted: bytes, data: bytes, limits: ImageLimits) -> Picture | Mask:
    for marks, kind in MASKS.items():
        if kind == wanted:
            return decode_mask(data, marks, limits)
    return decode_bytes(data, limits)


def _confine(memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows; the parent's time-out and the pixel limit remain
        return
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),  # the two pipes are open already
    ):
        resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    main(sys.argv[1:])
