"""Decoding: formats, depth, alpha, profiles, orientation and limits, from bytes made here."""

import io
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from retouch.domain.edit import Marks
from retouch.domain.errors import BadInput
from retouch.domain.picture import Picture
from retouch.images.decode import ImageLimits, decode_bytes, decode_mask

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def chunk(kind: bytes, body: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


def png(width: int, height: int, depth: int, colour: int, raw: bytes, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(picture: Picture) -> list[tuple[int, ...]]:
    return [tuple(picture.data[i : i + 3]) for i in range(0, len(picture.data), 3)]


def stripes() -> Image.Image:
    """Red, green, blue from left to right, 24x8 so that jpeg keeps them apart."""
    image = Image.new("RGB", (24, 8), RED)
    image.paste(GREEN, (8, 0, 16, 8))
    image.paste(BLUE, (16, 0, 24, 8))
    return image


def colour_at(picture: Picture, x: int, y: int) -> tuple[int, ...]:
    """The pixel, each channel rounded to 0 or 255, for lossy formats."""
    pixel = pixels(picture)[y * picture.width + x]
    return tuple(255 if value > 127 else 0 for value in pixel)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_the_four_formats_give_the_same_picture(kind: str) -> None:
    picture = decode_bytes(save(stripes(), kind))

    assert (picture.width, picture.height) == (24, 8)
    assert [colour_at(picture, x, 4) for x in (4, 12, 20)] == [RED, GREEN, BLUE]


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "ICO", "PPM", "PDF", "EPS", "AVIF"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(BadInput, match="not a jpeg, png, gif or webp"):
        decode_bytes(save(stripes(), kind))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (save(stripes(), "AVIF"), "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "a film"),
        (save(stripes(), "BMP"), "BMP"),
        (save(stripes(), "TIFF"), "TIFF"),
        (b"%PDF-1.7", "PDF"),
        (b'<?xml version="1.0"?>\n<svg/>', "SVG"),
        (b"\n<!DOCTYPE HTML><title>Not found", "a web page"),
    ],
)
def test_what_callers_often_send_instead_is_named(data: bytes, found: str) -> None:
    with pytest.raises(BadInput, match=rf"not a jpeg, png, gif or webp but {found}\.$"):
        decode_bytes(data)


@pytest.mark.parametrize("data", [b"<svg/>", b"<html>", b"\x00" * 64, b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match="not a jpeg, png, gif or webp"):
        decode_bytes(data)


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^The input image is empty\.$"):
        decode_bytes(b"")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN, BLUE)]

    data = save(frames[0], kind, save_all=True, append_images=frames[1:])

    assert colour_at(decode_bytes(data), 1, 1) == RED


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation

    picture = decode_bytes(save(stripes(), "JPEG", exif=exif, quality=95))

    stored_left = {1: (4, 4), 2: (20, 4), 3: (20, 4), 4: (4, 4),
                   5: (4, 4), 6: (4, 4), 7: (4, 20), 8: (4, 20)}  # fmt: skip
    assert (picture.width, picture.height) == ((24, 8) if orientation < 5 else (8, 24))
    assert colour_at(picture, *stored_left[orientation]) == RED


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_a_senseless_orientation_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation

    assert decode_bytes(save(stripes(), "JPEG", exif=exif)).width == 24


def test_broken_exif_is_ignored() -> None:
    picture = decode_bytes(save(stripes(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))

    assert picture.width == 24


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    values = (0, 20000, 40000, 65535)

    picture = decode_bytes(png(4, 1, 16, 0, b"\0" + struct.pack(">4H", *values)))

    assert pixels(picture) == [(v >> 8,) * 3 for v in values]


def test_16_bit_colour_is_scaled_not_clipped() -> None:
    picture = decode_bytes(png(1, 1, 16, 2, b"\0" + struct.pack(">3H", 40000, 255, 65535)))

    assert pixels(picture) == [(156, 0, 255)]


def test_16_bit_alpha_shows_white_behind() -> None:
    picture = decode_bytes(png(1, 1, 16, 6, b"\0" + struct.pack(">4H", 65535, 0, 0, 0)))

    assert pixels(picture) == [WHITE]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_shallow_grey_spans_black_to_white(depth: int) -> None:
    picture = decode_bytes(
        png(2, 1, depth, 0, bytes((0, (0x0F << depth) & 0xFF if depth < 4 else 0x0F)))
    )

    assert {value for pixel in pixels(picture) for value in pixel} <= {0, 255}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_hidden_colour_under_full_transparency_is_white(kind: str) -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 255, 255))

    picture = decode_bytes(save(image, kind, **({"lossless": True} if kind == "WEBP" else {})))

    assert pixels(picture) == [WHITE, BLUE]


def test_half_transparency_is_composited() -> None:
    picture = decode_bytes(save(Image.new("RGBA", (1, 1), (0, 0, 0, 128)), "PNG"))

    assert pixels(picture) == [(127, 127, 127)]


def test_grey_with_alpha() -> None:
    picture = decode_bytes(save(Image.new("LA", (1, 1), (10, 0)), "PNG"))

    assert pixels(picture) == [WHITE]


def test_a_palette_with_a_transparent_entry() -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)

    picture = decode_bytes(save(image, "PNG", transparency=0))

    assert pixels(picture) == [WHITE, BLUE]


def test_a_transparent_colour_key() -> None:
    data = png(2, 1, 8, 2, bytes((0, *RED, *BLUE)), chunk(b"tRNS", struct.pack(">3H", *RED)))

    assert pixels(decode_bytes(data)) == [WHITE, BLUE]


def test_cmyk_jpeg() -> None:
    picture = decode_bytes(save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))

    assert colour_at(picture, 4, 4) == RED


def lab_like_profile() -> bytes:
    """A valid profile of a colour space that is no RGB image's."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def swapped_profile() -> bytes:
    """sRGB with its red and green primaries exchanged, under another name."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return (
        profile.replace(b"rXYZ", b"tXYZ", 1)
        .replace(b"gXYZ", b"rXYZ", 1)
        .replace(b"tXYZ", b"gXYZ", 1)
    ).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def test_a_colour_profile_is_converted_to_srgb() -> None:
    picture = decode_bytes(
        save(Image.new("RGB", (1, 1), RED), "PNG", icc_profile=swapped_profile())
    )

    assert colour_at(picture, 0, 0) == GREEN


@pytest.mark.parametrize("profile", [b"not a profile", lab_like_profile(), swapped_profile()[:200]])
def test_a_broken_or_foreign_profile_is_dropped(profile: bytes) -> None:
    picture = decode_bytes(
        save(Image.new("RGB", (1, 1), (200, 100, 50)), "PNG", icc_profile=profile)
    )

    assert pixels(picture) == [(200, 100, 50)]


def test_a_profile_and_alpha_together() -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 0))

    picture = decode_bytes(save(image, "PNG", icc_profile=swapped_profile()))

    assert [colour_at(picture, x, 0) for x in (0, 1)] == [GREEN, WHITE]


def huge(width: int, height: int) -> dict[str, bytes]:
    """Files whose headers promise this size and whose bodies do not keep it."""
    vp8x = b"VP8X\x0a\0\0\0\x02\0\0\0" + (width - 1).to_bytes(3, "little")
    vp8x += (height - 1).to_bytes(3, "little")
    jpeg = bytearray(save(Image.new("RGB", (8, 8)), "JPEG"))
    start = jpeg.index(b"\xff\xc0")
    jpeg[start + 5 : start + 9] = struct.pack(">HH", height, width)
    gif = bytearray(save(Image.new("RGB", (8, 8)), "GIF"))
    gif[6:10] = struct.pack("<HH", width, height)
    return {
        "png": png(width, height, 8, 2, b""),
        "gif": bytes(gif),
        "jpeg": bytes(jpeg),
        "webp": b"RIFF" + struct.pack("<I", len(vp8x) + 4) + b"WEBP" + vp8x,
    }


@pytest.mark.parametrize("kind", ["png", "gif", "jpeg", "webp"])
def test_too_many_pixels_are_refused_by_the_header(kind: str) -> None:
    with pytest.raises(BadInput) as caught:
        decode_bytes(huge(13000, 7000)[kind])

    assert str(caught.value) == (
        "The input image is 13000x7000 pixels, more than the 40 megapixels allowed."
    )


@pytest.mark.parametrize("kind", ["png", "gif", "jpeg", "webp"])
def test_a_side_too_long_is_refused_by_the_header(kind: str) -> None:
    with pytest.raises(BadInput, match=r"20000x\d pixels, more than the 16384 allowed on a side"):
        decode_bytes(huge(20000, 2)[kind])


def test_a_size_past_pillows_own_limit_is_refused_too() -> None:
    with pytest.raises(BadInput, match="more than the 40 megapixels allowed"):
        decode_bytes(huge(16000, 16000)["png"])


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}])
def test_webp_sizes_are_read_from_plain_files(options: dict[str, object]) -> None:
    data = save(stripes(), "WEBP", **options)

    with pytest.raises(BadInput, match="24x8 pixels, more than"):
        decode_bytes(data, ImageLimits(max_pixels=191))
    assert decode_bytes(data, ImageLimits(max_pixels=192)).width == 24


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(BadInput, match=r"is 101 bytes, more than the 100 bytes allowed"):
        decode_bytes(b"\xff\xd8\xff" + bytes(98), ImageLimits(max_bytes=100))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_file_cut_short_is_refused(kind: str) -> None:
    noise = Image.frombytes("RGB", (64, 64), bytes(i * 7919 % 251 for i in range(64 * 64 * 3)))
    data = save(noise, kind)

    with pytest.raises(BadInput, match=f"the {kind.lower()} file is damaged or cut short"):
        decode_bytes(data[: len(data) // 2])


SEEDS = [
    save(stripes(), "PNG"),
    save(stripes(), "JPEG"),
    save(stripes(), "GIF"),
    save(stripes(), "WEBP"),
    save(Image.new("RGBA", (9, 5), (1, 2, 3, 4)), "PNG", icc_profile=swapped_profile()),
]


@settings(max_examples=150)
@given(
    seed=st.sampled_from(SEEDS),
    place=st.floats(0, 1, exclude_max=True),
    patch=st.binary(max_size=8),
    end=st.floats(0.1, 1),
)
def test_mutated_files_decode_or_are_refused_in_our_words(
    seed: bytes, place: float, patch: bytes, end: float
) -> None:
    at = int(place * len(seed))
    data = (seed[:at] + patch + seed[at + len(patch) :])[: int(end * len(seed))]

    try:
        picture = decode_bytes(data, ImageLimits(max_pixels=1_000_000))
    except BadInput as error:
        sentence = str(error)
    else:
        sentence = f"The input image has {picture.width * picture.height} pixels"

    assert sentence.startswith("The input image ")
    assert "/" not in sentence


# -- masks ---------------------------------------------------------------------------------------


def with_alpha(*alphas: int) -> bytes:
    image = Image.new("RGBA", (len(alphas), 1), RED)
    image.putalpha(Image.frombytes("L", image.size, bytes(alphas)))
    return save(image, "PNG")


def test_transparency_marks_what_is_to_change() -> None:
    mask = decode_mask(with_alpha(0, 255, 128), "transparent")

    assert (mask.width, mask.height, mask.data) == (3, 1, bytes([255, 0, 127]))


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P"])
def test_white_marks_what_is_to_change(mode: str) -> None:
    image = Image.frombytes("L", (2, 1), b"\xff\x00").convert(mode)

    assert decode_mask(save(image, "PNG"), "white").data == b"\xff\x00"


def test_white_that_cannot_be_seen_marks_nothing() -> None:
    image = Image.new("RGBA", (2, 1), WHITE)
    image.putpixel((1, 0), (*WHITE, 0))

    assert decode_mask(save(image, "PNG"), "white").data == b"\xff\x00"


def test_a_mask_is_turned_upright_like_the_picture_that_it_is_of() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.frombytes("L", (2, 1), b"\xff\x00")

    mask = decode_mask(save(image, "PNG", exif=exif), "white")

    assert (mask.width, mask.height, mask.data) == (1, 2, b"\xff\x00")


@pytest.mark.parametrize(
    ("data", "marks", "words"),
    [
        (with_alpha(255, 255), "transparent", "The mask has no transparent pixel: nothing would"),
        (save(stripes(), "PNG"), "transparent", "The mask has no alpha channel: its transparent"),
        (save(stripes(), "JPEG"), "transparent", "The mask has no alpha channel: its transparent"),
        (save(Image.new("L", (2, 2)), "PNG"), "white", "The mask has no white pixel: nothing"),
        (b"text", "white", "not a jpeg, png, gif or webp"),
    ],
)
def test_a_mask_that_is_none_is_refused(data: bytes, marks: Marks, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        decode_mask(data, marks)
