"""Small files of every kind the decoder takes, and what a stranger may make of them."""

import io
import random
import struct
import time
import zlib
from collections.abc import Callable

from PIL import Image, ImageCms

Mutation = Callable[[random.Random, bytes], bytes]

HUGE = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
SPLIT = 8
"""A mutation that needs a place in a file does nothing to one of so few bytes."""


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and its right checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def seeds() -> list[bytes]:
    """Sound files of the four formats: modes, depths, palettes, profiles, animations."""
    grey = Image.linear_gradient("L").resize((24, 16))
    rgb = Image.merge("RGB", (grey, grey.rotate(180), grey.transpose(Image.Transpose.ROTATE_180)))
    rgba = rgb.copy()
    rgba.putalpha(grey)
    palette = rgb.quantize(16)
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = _profile()
    film = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(45)], "duration": 40}
    return [
        *(_file(image, "PNG") for image in (grey, rgb, rgba, palette, rgb.convert("1"))),
        *(_file(image, "PNG") for image in (grey.convert("I;16"), rgba.convert("LA"))),
        _file(rgb, "PNG", icc_profile=profile, exif=exif),
        _file(palette, "PNG", transparency=0),
        _file(rgb, "PNG", **film),
        _file(rgb, "JPEG"),
        _file(rgb, "JPEG", progressive=True, exif=exif, icc_profile=profile),
        _file(grey, "JPEG", restart_marker_blocks=1),
        _file(rgb.convert("CMYK"), "JPEG"),
        _file(rgb, "MPO", **film),
        _file(palette, "GIF", transparency=0),
        _file(rgb, "GIF", **film),
        _file(rgb, "WEBP"),
        _file(rgba, "WEBP", lossless=True, exif=exif, icc_profile=profile),
        _file(rgba, "WEBP", **film),
    ]


def strangers() -> list[bytes]:
    """Files of formats that are refused, to be spliced with those that are not."""
    image = Image.linear_gradient("L").resize((16, 16)).convert("RGB")
    kinds = ("BMP", "TIFF", "ICO", "AVIF", "PPM", "JPEG2000", "EPS", "TGA", "ICNS")
    undated = dict.fromkeys(("creationDate", "modDate"), time.gmtime(0))
    return [*(_file(image, kind) for kind in kinds), _file(image, "PDF", **undated)]


def _profile() -> bytes:
    """A profile of sRGB; the time it was made is left out, so that every run has the same."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return made[:24] + bytes(12) + made[36:]


def _file(image: Image.Image, kind: str, **options: object) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, **options)
    return held.getvalue()


# -- mutations -------------------------------------------------------------------------------------


def truncate(draw: random.Random, data: bytes) -> bytes:
    """Cut it short."""
    return data[: draw.randrange(len(data))]


def flip_bits(draw: random.Random, data: bytes) -> bytes:
    """Turn over one bit, or up to sixteen."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def flip_head(draw: random.Random, data: bytes) -> bytes:
    """Overwrite a byte among the first sixty-four, where sizes and kinds are."""
    changed = bytearray(data)
    changed[draw.randrange(min(64, len(changed)))] = draw.randrange(256)
    return bytes(changed)


def huge_number(draw: random.Random, data: bytes) -> bytes:
    """Write a number at the edge of its type anywhere: a length, a size, an offset."""
    if len(data) < SPLIT:
        return data
    at = draw.randrange(len(data) - 4)
    number = struct.pack(draw.choice((">I", "<I")), draw.choice(HUGE))
    width = draw.choice((2, 4))
    return data[:at] + number[-width:] + data[at + width :]


def scramble_chunk(draw: random.Random, data: bytes) -> bytes:
    """Change a PNG chunk's length, kind, body or checksum; half of the time mend the checksum."""
    places = [at for kind in _KINDS if (at := data.find(kind)) >= SPLIT]
    if not data.startswith(b"\x89PNG") or not places:
        return flip_bits(draw, data)
    at = draw.choice(places)
    (length,) = struct.unpack(">I", data[at - 4 : at])
    kind, body = data[at : at + 4], data[at + 4 : at + 4 + length]
    head, tail = data[: at - 4], data[at + 8 + length :]
    match draw.randrange(4):
        case 0:
            return head + struct.pack(">I", draw.choice(HUGE)) + data[at:]
        case 1:
            return head + data[at - 4 : at + 4 + length] + draw.randbytes(4) + tail
        case 2 if body:
            return head + png_chunk(kind, flip_bits(draw, body)) + tail
        case _:
            return head + png_chunk(draw.choice(_KINDS), body) + tail


def splice(draw: random.Random, data: bytes) -> bytes:
    """The head of one file and the tail of another, often of another format."""
    other = draw.choice(_PARTS)
    return data[: draw.randrange(len(data))] + other[draw.randrange(len(other)) :]


def repeat(draw: random.Random, data: bytes) -> bytes:
    """Say a part of it again, up to fifty times."""
    start = draw.randrange(len(data))
    part = data[start : start + draw.randrange(1, 64)]
    return data[:start] + part * draw.choice((2, 2, 3, 50)) + data[start:]


def noise(draw: random.Random, data: bytes) -> bytes:
    """Keep the first bytes, by which it is known, and make up the rest."""
    return data[: draw.choice((4, 12, 16, 33))] + draw.randbytes(draw.randrange(200))


MUTATIONS: tuple[Mutation, ...] = (
    truncate,
    flip_bits,
    flip_head,
    huge_number,
    scramble_chunk,
    splice,
    repeat,
    noise,
)

_KINDS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"fdAT")
_SEEDS = seeds()
_PARTS = _SEEDS + strangers()


def hostile_image(draw: random.Random) -> tuple[str, bytes]:
    """One mutated file and the name of what was done to it last: one mutation, or two."""
    data, name = draw.choice(_SEEDS), ""
    for _ in range(draw.choice((1, 1, 1, 2))):
        mutation = draw.choice(MUTATIONS)
        data, name = mutation(draw, data) or b"\0", mutation.__name__
    return name, data
