"""Pictures as the bodies of several protocols name them: addresses, data URIs, files of ours."""

import re
from urllib.parse import SplitResult

from retouch.domain.edit import ImageSource, InlineImage
from retouch.protocols.data_uri import parse_data_uri

DATA_LIMIT_BYTES = 100 * 1024 * 1024
"""What a data URI may hold; how much of that a worker decodes is the operator's to say."""

ECHO_LIMIT = 64 * 1024  # characters; a longer data URI is echoed as a link to its bytes
OUR_FILE = re.compile(r"/files/(?P<id>[^/]+?)(?:/download)?/?$")
OUR_FILE_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{26}")


def inline(text: str) -> InlineImage:
    """The picture in a data URI; raises ValueError for what is none, or too much."""
    return InlineImage(parse_data_uri(text, DATA_LIMIT_BYTES))


def our_file(address: SplitResult, *, is_here: bool) -> str | None:
    """The id of the upload that an address names.

    An address that is not under a name of ours (`is_here`) may be one that we do not know of, such
    as a proxy's; then the id has to look like ours.
    """
    found = OUR_FILE.search(address.path)
    is_ours = found and (is_here or OUR_FILE_ID.fullmatch(found["id"]))
    return found["id"] if found and is_ours else None


def echoed(text: str, source: ImageSource) -> str | InlineImage:
    """The form in which a picture's text is recorded: a long data URI becomes its bytes."""
    return source if isinstance(source, InlineImage) and len(text) > ECHO_LIMIT else text


def texts_in(value: object) -> list[str]:
    """The texts in a field: itself, or those in its list."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]
