"""A picture to a file. Only pixels go in, so nothing of an input's metadata can come out."""

import io

from PIL import Image

from retouch.domain.edit import OutputFormat
from retouch.domain.picture import Picture


def encode(picture: Picture, output_format: OutputFormat, quality: int = 90) -> bytes:
    """The picture as a png, jpeg or webp file.

    `quality` is 1 to 100 and rules jpeg and webp; png is lossless. Raises ValueError when it is
    out of range.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality {quality} is not between 1 and 100")
    image = Image.frombuffer("RGB", (picture.width, picture.height), picture.data)
    file = io.BytesIO()
    match output_format:
        case OutputFormat.PNG:
            image.save(file, "PNG")
        case OutputFormat.JPEG:
            image.save(file, "JPEG", quality=quality)
        case OutputFormat.WEBP:
            image.save(file, "WEBP", quality=quality)
    return file.getvalue()
