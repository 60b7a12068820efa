"""Untrusted image bytes to a `Picture` or a `Mask`, in this process.

The bytes decide what a file is, never its name or its declared type. Sizes are read from the
header and judged before any pixel is decoded. `process.ProcessDecoder` runs this in a child
process with a memory limit; call it directly only on bytes you made yourself.
"""

import io
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageCms

from retouch.domain.edit import Marks
from retouch.domain.errors import BadInput
from retouch.domain.failure import FailureKind
from retouch.domain.picture import Mask, Picture
from retouch.images.kind import foreign_kind, kind_of

NAMES: Mapping[type, str] = {Picture: "The input image", Mask: "The mask"}
"""What refusals call that which was to be decoded."""

WHITE = (255, 255, 255)
"""What shows through transparent pixels."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """What an input image may be at most."""

    max_bytes: int = 25_000_000
    max_pixels: int = 40_000_000
    max_side: int = 16_384


DEFAULT_LIMITS = ImageLimits()


def checked_kind(data: bytes, limits: ImageLimits, what: str) -> str:
    """The kind of a file that is worth decoding; raises BadInput. Cheap enough for any thread."""
    if not data:
        raise BadInput(FailureKind.UNREADABLE, f"{what} is empty.")
    if len(data) > limits.max_bytes:
        raise BadInput(
            FailureKind.TOO_MANY_BYTES,
            f"{what} is {_megabytes(len(data))}, "
            f"more than the {_megabytes(limits.max_bytes)} allowed.",
        )
    kind = kind_of(data)
    if kind is None:
        found = foreign_kind(data)
        but = f" but {found}" if found else ""
        raise undecodable(what, f"not a jpeg, png, gif or webp{but}")
    return kind


def undecodable(what: str, why: str) -> BadInput:
    """The refusal of what cannot be decoded."""
    return BadInput(FailureKind.UNREADABLE, f"{what} could not be decoded: {why}.")


def decode_bytes(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Picture:
    """The first frame: upright, 8-bit sRGB, transparency over white.

    Raises BadInput with a sentence for the user.
    """
    upright = _opened(data, limits, NAMES[Picture], _upright_rgb)
    return Picture(upright.width, upright.height, upright.tobytes())


def decode_mask(data: bytes, marks: Marks, limits: ImageLimits = DEFAULT_LIMITS) -> Mask:
    """What the first frame, upright, marks as to be changed: its transparency, or its brightness
    over black.

    Raises BadInput, as `decode_bytes`; also for a mask that marks nothing.
    """
    read = _transparency if marks == "transparent" else _brightness
    marked = _opened(data, limits, NAMES[Mask], read)
    if marked.getextrema()[1] == 0:
        words = f"{NAMES[Mask]} has no {marks} pixel: nothing would change."
        raise BadInput(FailureKind.UNREADABLE, words)
    return Mask(marked.width, marked.height, marked.tobytes())


def _opened(
    data: bytes, limits: ImageLimits, what: str, read: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    kind = checked_kind(data, limits, what)
    if kind == "webp":  # Pillow allocates two whole canvases merely to open one
        _judge(*_webp_size(data), limits, what)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[kind.upper()]) as image:
                _judge(*image.size, limits, what)
                return read(image)
    except BadInput:
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels(f"{what} is", limits) from None
    except MemoryError:
        raise undecodable(what, "it needs too much memory") from None
    except Exception:  # noqa: BLE001  Pillow's parsers raise nearly anything on hostile bytes
        raise undecodable(what, f"the {kind} file is damaged or cut short") from None


def _judge(width: int, height: int, limits: ImageLimits, what: str) -> None:
    size = f"{what} is {width}x{height} pixels,"
    if width < 1 or height < 1:
        raise BadInput(FailureKind.UNREADABLE, f"{what} has no pixels.")
    if max(width, height) > limits.max_side:
        raise BadInput(
            FailureKind.TOO_MANY_PIXELS,
            f"{size} more than the {limits.max_side} allowed on a side.",
        )
    if width * height > limits.max_pixels:
        raise _too_many_pixels(size, limits)


def _too_many_pixels(size: str, limits: ImageLimits) -> BadInput:
    most = f"{limits.max_pixels / 1e6:g} megapixels"
    return BadInput(FailureKind.TOO_MANY_PIXELS, f"{size} more than the {most} allowed.")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height from the first chunk (RFC 9649); whatever a damaged file holds there."""
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + _little(data, 24, 3), 1 + _little(data, 27, 3)
    if kind == b"VP8L":
        bits = _little(data, 21, 4)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return _little(data, 26, 2) & 0x3FFF or 1, _little(data, 28, 2) & 0x3FFF or 1


def _little(data: bytes, start: int, length: int) -> int:
    return int.from_bytes(data[start : start + length], "little")


def _upright_rgb(image: Image.Image) -> Image.Image:
    turn = _turn(image)
    profile = image.info.get("icc_profile")
    image.load()
    colour, alpha = _split(image)
    rgb = _to_srgb(colour, profile)
    if alpha is not None:
        backdrop = Image.new("RGB", rgb.size, WHITE)
        backdrop.paste(rgb, mask=alpha)
        rgb = backdrop
    return rgb if turn is None else rgb.transpose(turn)


def _transparency(image: Image.Image) -> Image.Image:
    turn = _turn(image)
    image.load()
    alpha = _split(image)[1]
    if alpha is None:
        words = f"{NAMES[Mask]} has no alpha channel: its transparent pixels say what to change."
        raise BadInput(FailureKind.UNREADABLE, words)
    marked = ImageChops.invert(alpha)
    return marked if turn is None else marked.transpose(turn)


def _brightness(image: Image.Image) -> Image.Image:
    turn = _turn(image)
    image.load()
    colour, alpha = _split(image)
    marked = colour.convert("L")
    if alpha is not None:
        marked = ImageChops.multiply(marked, alpha)
    return marked if turn is None else marked.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    with suppress(Exception):  # a broken EXIF block is no reason to refuse the pixels
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    return None


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colour as L, RGB or CMYK at 8 bits, and the alpha channel if there is one."""
    if image.mode.startswith("I"):  # 16-bit grey: `convert` would clip it to white
        return image.point(lambda value: value * (1 / 256)).convert("L"), None
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        return rgba.convert("RGB"), rgba.getchannel("A")
    if image.mode == "1":
        return image.convert("L"), None
    if image.mode in ("L", "RGB", "CMYK"):
        return image, None
    return image.convert("RGB"), None


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        with suppress(Exception):  # a broken or mismatched profile is dropped
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(source).lower():
                converted = ImageCms.profileToProfile(
                    image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
                )
                if converted is not None:
                    return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size >= 1_000_000 else f"{size} bytes"
