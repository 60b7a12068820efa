"""Encoding: formats, quality, and what must not come out."""

import io

import pytest
from PIL import Image

from retouch.domain.edit import OutputFormat
from retouch.domain.picture import Picture
from retouch.images.decode import decode_bytes
from retouch.images.encode import encode

PICTURE = Picture(32, 16, bytes(i * 31 % 256 for i in range(32 * 16 * 3)))


def test_png_keeps_every_pixel() -> None:
    assert decode_bytes(encode(PICTURE, OutputFormat.PNG)) == PICTURE


@pytest.mark.parametrize("kind", list(OutputFormat))
def test_the_file_is_what_it_says_and_carries_no_metadata(kind: OutputFormat) -> None:
    with Image.open(io.BytesIO(encode(PICTURE, kind))) as image:
        assert image.get_format_mimetype() == kind.content_type
        assert image.size == (32, 16)
        assert not image.getexif()
        assert not {"icc_profile", "exif", "xmp", "comment"} & set(image.info)


@pytest.mark.parametrize("kind", [OutputFormat.JPEG, OutputFormat.WEBP])
def test_quality_buys_bytes(kind: OutputFormat) -> None:
    assert len(encode(PICTURE, kind, 20)) < len(encode(PICTURE, kind, 95))


@pytest.mark.parametrize("quality", [0, 101, -1])
def test_a_quality_out_of_range_is_an_error(quality: int) -> None:
    with pytest.raises(ValueError, match="not between 1 and 100"):
        encode(PICTURE, OutputFormat.JPEG, quality)
