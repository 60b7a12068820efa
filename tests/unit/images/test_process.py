"""The decoding child: reused, replaced, confined."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from retouch.domain.errors import BadInput, Busy
from retouch.images.decode import ImageLimits, decode_bytes, decode_mask
from retouch.images.process import ProcessDecoder


def photo(width: int = 12, height: int = 7) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, "PNG")
    return file.getvalue()


def child_ids(decoder: ProcessDecoder) -> list[int]:
    return [child._process.pid for child in decoder._idle]


@pytest.fixture
async def decoder() -> AsyncIterator[ProcessDecoder]:
    decoder = ProcessDecoder()
    await decoder.start()
    yield decoder
    await decoder.stop()


async def test_the_child_gives_the_same_picture_and_is_reused(decoder: ProcessDecoder) -> None:
    first = await decoder.decode(photo())
    ids = child_ids(decoder)
    second = await decoder.decode(photo(300, 200))

    assert first == decode_bytes(photo())
    assert second == decode_bytes(photo(300, 200))
    assert child_ids(decoder) == ids
    assert len(ids) == 1


async def test_the_child_reads_masks_and_speaks_of_them_as_such(decoder: ProcessDecoder) -> None:
    mask = await decoder.decode_mask(photo(), "white")

    assert mask == decode_mask(photo(), "white")
    for data in (photo()[:60], b"text"):
        with pytest.raises(BadInput, match=r"^The mask could not be decoded: "):
            await decoder.decode_mask(data, "white")
    with pytest.raises(BadInput, match=r"^The mask has no alpha channel: "):
        await decoder.decode_mask(photo(), "transparent")


async def test_a_refusal_keeps_the_child(decoder: ProcessDecoder) -> None:
    await decoder.decode(photo())
    ids = child_ids(decoder)

    with pytest.raises(BadInput, match="the png file is damaged or cut short"):
        await decoder.decode(photo()[:60])

    assert child_ids(decoder) == ids


async def test_a_child_that_died_idle_is_replaced(decoder: ProcessDecoder) -> None:
    await decoder.decode(photo())
    (pid,) = child_ids(decoder)

    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    await decoder.decode(photo())

    assert child_ids(decoder) != [pid]


async def test_a_time_out_is_a_sentence_and_the_next_child_is_fresh() -> None:
    deaths: list[str] = []
    decoder = ProcessDecoder(timeout_s=0.001, on_death=deaths.append)

    with pytest.raises(BadInput, match=r"could not be decoded: it takes longer than 0\.001 s"):
        await decoder.decode(photo())
    decoder._timeout_s = 20.0
    picture = await decoder.decode(photo())
    await decoder.stop()

    assert picture.width == 12
    assert deaths == ["overran"]


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux's")
async def test_too_much_memory_is_a_sentence_and_the_next_image_is_fine() -> None:
    limits = ImageLimits(max_pixels=100_000_000)
    decoder = ProcessDecoder(limits, memory_bytes=160 << 20)
    file = io.BytesIO()
    Image.new("L", (6000, 6000)).save(file, "PNG", compress_level=1)

    with pytest.raises(BadInput, match="too much memory"):
        await decoder.decode(file.getvalue())
    picture = await decoder.decode(photo())
    await decoder.stop()

    assert picture.width == 12


async def test_stopping_ends_the_child_and_may_be_repeated() -> None:
    decoder = ProcessDecoder()
    await decoder.decode(photo())
    (pid,) = child_ids(decoder)

    await decoder.stop()
    await decoder.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(Busy):
        await decoder.decode(photo())


async def test_two_children_serve_many_callers() -> None:
    decoder = ProcessDecoder(processes=2)

    pictures = await asyncio.gather(*(decoder.decode(photo(i, 3)) for i in range(1, 9)))
    count = len(child_ids(decoder))
    await decoder.stop()

    assert [picture.width for picture in pictures] == list(range(1, 9))
    assert count <= 2


async def test_stopping_during_a_decode_does_not_blame_the_image() -> None:
    decoder = ProcessDecoder()
    decoding = asyncio.ensure_future(decoder.decode(photo(3000, 3000)))
    while not decoder._busy:  # noqa: ASYNC110  a thread tells nobody
        await asyncio.sleep(0)

    await decoder.stop()

    with pytest.raises(Busy):
        await decoding


def test_a_child_ends_with_its_standard_input() -> None:
    done = subprocess.run(  # noqa: S603  our own module
        [sys.executable, "-m", "retouch.images.child", str(2 << 30), "9", "9", "9"],
        input=b"",
        timeout=60,
        check=True,
    )

    assert done.returncode == 0


def test_a_child_imports_pillow_and_little_else() -> None:
    code = "import sys, retouch.images.child; print(*sys.modules)"
    found = subprocess.run(  # noqa: S603  our own module
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()

    assert not {"torch", "numpy", "asyncio", "httpx2", "obstore", "sqlalchemy"} & set(found)
