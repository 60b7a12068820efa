"""From a URL or untrusted bytes to a picture."""

from typing import Protocol

from retouch.domain.edit import Marks
from retouch.domain.picture import Mask, Picture


class Fetcher(Protocol):
    """Guarded downloads."""

    async def fetch(self, url: str, what: str = "image") -> bytes:
        """The body of an http(s) URL; raises BadInput with a sentence fit for the caller.

        `what` it is of, for that sentence: `image` or `mask`.
        """


class Decoder(Protocol):
    """Untrusted bytes to pixels."""

    async def decode(self, data: bytes) -> Picture:
        """An upright sRGB picture; raises BadInput with a sentence fit for the caller.

        Raises Busy, and blames no image, once the decoder is stopping.
        """

    async def decode_mask(self, data: bytes, marks: Marks) -> Mask:
        """The mask in these bytes, read by `marks`; raises BadInput and Busy, as `decode`."""
