"""Files made to hurt: bombs, endless animations, foreign formats, and a decoder taken over."""

import asyncio
import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from retouch.domain.errors import BadInput
from retouch.domain.failure import FailureKind
from retouch.images.decode import ImageLimits, decode_bytes
from retouch.images.frame import FAILURES, MASK, PICTURE, REPLY
from retouch.images.process import ProcessDecoder, read_reply

NOT_OURS = "not a jpeg, png, gif or webp"
UNREADABLE = FAILURES[FailureKind.UNREADABLE]
SMALL = Image.linear_gradient("L").resize((16, 16))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(side: int, *extra: bytes) -> bytes:
    """A whole and valid png of one bit a pixel, all black, packed as tightly as zlib can."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    body = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", packed), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
async def decoder() -> AsyncIterator[ProcessDecoder]:
    decoder = ProcessDecoder()
    yield decoder
    await decoder.stop()


def child_ids(decoder: ProcessDecoder) -> list[int]:
    return [child._process.pid for child in (*decoder._idle, *decoder._busy)]


def peak_kb(pid: int) -> int:
    """The most memory a process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@cache
def packed_zeros() -> bytes:
    return zlib.compress(bytes(100_000_000))


# -- bombs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("megapixels", "side", "kilobytes"), [(89, 9_434, 12), (178, 13_342, 24)])
async def test_a_bomb_of_a_few_kilobytes_is_refused_by_its_size(
    decoder: ProcessDecoder, megapixels: int, side: int, kilobytes: int
) -> None:
    data = bomb(side)

    with pytest.raises(BadInput, match=f"{side}x{side} pixels, more than the 40 megapixels"):
        await decoder.decode(data)

    assert side * side // 1_000_000 == megapixels
    assert len(data) < kilobytes * 1000


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux's")
async def test_a_bomb_that_is_let_in_meets_the_limit_of_memory() -> None:
    lax = ProcessDecoder(ImageLimits(max_pixels=10**9), memory_bytes=128 << 20)

    with pytest.raises(BadInput, match="too much memory"):
        await lax.decode(bomb(9_434))
    picture = await lax.decode(saved(SMALL, "PNG"))
    await lax.stop()

    assert picture.width == 16


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells how much memory a child had")
@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
async def test_a_note_that_unpacks_to_a_hundred_megabytes_is_not_unpacked(
    decoder: ProcessDecoder, kind: bytes
) -> None:
    head = {b"zTXt": b"note\0\0", b"iCCP": b"icc\0\0", b"iTXt": b"note\0\1\0\0\0"}[kind]
    data = bomb(64, chunk(kind, head + packed_zeros()))

    with suppress(BadInput):  # Pillow drops some such notes and refuses the file for others
        await decoder.decode(data)
    (pid,) = child_ids(decoder)

    assert peak_kb(pid) < 90_000


# -- animations ------------------------------------------------------------------------------------


def test_of_an_animation_nothing_after_the_first_frame_is_read() -> None:
    frames = [SMALL.rotate(n) for n in range(120)]
    data = bytearray(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    first_ends = data.index(b"\0\x21\xf9\x04", data.index(b"\x2c"))
    data[first_ends + 40 :] = os.urandom(len(data) - first_ends - 40)

    assert decode_bytes(bytes(data)) == decode_bytes(saved(frames[0], "GIF"))


def test_a_png_that_promises_four_billion_frames_is_one_picture() -> None:
    endless = chunk(b"acTL", struct.pack(">II", 0xFFFFFFFF, 0))

    assert decode_bytes(bomb(32, endless)).width == 32


def test_a_frame_larger_than_its_canvas_is_judged_by_the_frame() -> None:
    data = bytearray(saved(SMALL, "GIF"))
    at = data.index(b"\x2c\0\0\0\0\x10\0\x10\0")
    data[at + 5 : at + 9] = struct.pack("<HH", 60_000, 60_000)

    with pytest.raises(BadInput):
        decode_bytes(bytes(data))


def test_a_giant_canvas_of_tiny_frames_is_judged_by_the_canvas() -> None:
    frames = [SMALL.convert("RGB"), SMALL.rotate(90).convert("RGB")]
    data = bytearray(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    data[24:30] = (16_382).to_bytes(3, "little") * 2

    with pytest.raises(BadInput, match="16383x16383 pixels, more than the 40 megapixels"):
        decode_bytes(bytes(data))


# -- formats ---------------------------------------------------------------------------------------

OURS = {"PNG", "JPEG", "GIF", "WEBP"}
SAVED = (
    *("AVIF", "BLP", "BMP", "DDS", "DIB", "EPS", "ICNS", "ICO", "JPEG2000", "MSP", "PCX"),
    *("PPM", "QOI", "SGI", "SPIDER", "TGA", "TIFF", "XBM"),
)
MODES = {"MSP": "1", "XBM": "1", "SPIDER": "F", "BLP": "P", "EPS": "RGB", "QOI": "RGB"}
MADE = {
    "BUFR": b"BUFR\0\0\0\4",
    "CUR": b"\0\0\2\0\1\0",
    "DCX": struct.pack("<I", 0x3ADE68B1),
    "FITS": b"SIMPLE  =                    T",
    "FLI": b"\0\1\0\0\x11\xaf\1\0",
    "FTEX": b"FTEX",
    "GBR": struct.pack(">5I", 28, 2, 8, 8, 1) + b"GIMP",
    "GRIB": b"GRIB\0\0\0\1",
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "IM": b"Image type: L image\r\n",
    "IMT": b"\nwidth 8\nheight 8\n\x0c",
    "IPTC": b"\x1c\3\x3c\0\2",
    "MCIDAS": b"\0\0\0\0\0\0\0\4",
    "MPEG": b"\0\0\1\xb3",
    "PCD": bytes(2048) + b"PCD_",
    "PIXAR": b"\x80\xe8\0\0",
    "PSD": b"8BPS\0\1",
    "SUN": struct.pack(">I", 0x59A66A95),
    "WMF": b"\xd7\xcd\xc6\x9a\0\0",
    "XPM": b"/* XPM */\n",
    "XVTHUMB": b"P7 332\n",
}
FOREIGN = {kind: saved(SMALL.convert(MODES.get(kind, "RGB")), kind) for kind in SAVED}
FOREIGN |= {kind: head.ljust(128, b"\0") for kind, head in MADE.items()}


def test_every_format_that_pillow_knows_is_ours_or_in_the_table() -> None:
    Image.init()

    assert set(Image.ID) == OURS | set(FOREIGN)
    assert len(FOREIGN) >= 38


@pytest.mark.parametrize("kind", sorted(FOREIGN))
async def test_a_foreign_format_never_reaches_a_decoder(kind: str) -> None:
    decoder = ProcessDecoder()

    with pytest.raises(BadInput, match=NOT_OURS):
        await decoder.decode(FOREIGN[kind])

    assert child_ids(decoder) == []
    await decoder.stop()


@pytest.mark.parametrize(
    "magic", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP"]
)
def test_a_foreign_file_behind_one_of_our_heads_is_damaged(magic: bytes) -> None:
    for data in FOREIGN.values():
        with pytest.raises(BadInput, match=r"could not be decoded|has no pixels|allowed"):
            decode_bytes(magic + data)


# -- the child -------------------------------------------------------------------------------------


async def decoding_in_a_frozen_child(decoder: ProcessDecoder) -> tuple[int, asyncio.Future]:
    """A decode under way that cannot end, and the process it is under way in."""
    await decoder.decode(saved(SMALL, "PNG"))
    (pid,) = child_ids(decoder)
    os.kill(pid, signal.SIGSTOP)
    decoding = asyncio.ensure_future(decoder.decode(saved(SMALL, "PNG")))
    while not decoder._busy:  # noqa: ASYNC110  a thread tells nobody
        await asyncio.sleep(0)
    return pid, decoding


async def test_an_image_whose_child_was_killed_is_decoded_by_a_fresh_one() -> None:
    deaths: list[str] = []
    decoder = ProcessDecoder(on_death=deaths.append)
    pid, decoding = await decoding_in_a_frozen_child(decoder)

    os.kill(pid, signal.SIGKILL)
    picture = await decoding

    assert picture.width == 16
    assert child_ids(decoder) != [pid]
    assert deaths == ["died"]
    await decoder.stop()


async def test_an_image_that_two_children_die_at_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deaths: list[str] = []
    decoder = ProcessDecoder(on_death=deaths.append)

    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", shutil.which("false"))  # whatever it is asked, it dies
        with pytest.raises(BadInput, match="it is damaged or needs too much memory"):
            await decoder.decode(saved(SMALL, "PNG"))

    assert deaths == ["died", "died"]
    assert (await decoder.decode(saved(SMALL, "PNG"))).width == 16
    await decoder.stop()


async def test_a_child_that_hangs_is_ended() -> None:
    deaths: list[str] = []
    decoder = ProcessDecoder(on_death=deaths.append)
    await decoder.decode(saved(SMALL, "PNG"))
    decoder._timeout_s = 0.2
    pid, decoding = await decoding_in_a_frozen_child(decoder)

    with pytest.raises(BadInput, match=r"it takes longer than 0\.2 s"):
        await decoding
    await decoder.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert deaths == ["overran"]  # once: its time is the image's own


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        REPLY.pack(PICTURE, 2, 2, 12),
        REPLY.pack(PICTURE, 2, 2, 13) + bytes(13),
        REPLY.pack(PICTURE, 0, 0, 0),
        REPLY.pack(PICTURE, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF),
        REPLY.pack(PICTURE, 20_000, 20_000, 1_200_000_000),
        REPLY.pack(UNREADABLE, 0, 0, 1 << 62),
        REPLY.pack(UNREADABLE, 0, 0, 9),
        REPLY.pack(b"?", 1, 1, 3) + bytes(3),
        REPLY.pack(b"?", 1, 1, 0),
        REPLY.pack(MASK, 2, 2, 12) + bytes(12),
        REPLY.pack(MASK, 2, 2, 4) + bytes(3),
    ],
)
def test_a_child_taken_over_is_not_believed(reply: bytes) -> None:
    with pytest.raises(EOFError):
        read_reply(io.BytesIO(reply), 40_000_000)


def test_a_sentence_of_any_bytes_can_be_read() -> None:
    with pytest.raises(BadInput, match="The \ufffd"):
        read_reply(io.BytesIO(REPLY.pack(UNREADABLE, 0, 0, 5) + b"The \xff"), 9)


@pytest.mark.skipif(sys.platform == "win32", reason="rlimits are not Windows's")
def test_a_child_can_open_nothing_once_it_is_confined() -> None:
    code = """
import socket
from retouch.images.child import _confine
_confine(1 << 30)
for name, verb in {
    "read": lambda: open("/etc/hostname"),
    "write": lambda: open("here", "w"),
    "connect": socket.socket,
}.items():
    try:
        verb()
    except OSError:
        print(name)
"""
    done = subprocess.run(  # noqa: S603  our own module
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.split() == ["read", "write", "connect"]
