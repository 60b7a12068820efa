"""The Blobs port, over every store we can run here."""

import asyncio
import stat
import sys
import time
from pathlib import Path

import pytest

from retouch.blobs import ObstoreBlobs
from retouch.blobs import store as module
from retouch.domain.errors import Busy, NotFound

KEY = "p_1/2/0.png"


@pytest.fixture(params=["local", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> ObstoreBlobs:
    if request.param == "memory":
        return ObstoreBlobs.at("memory:///")
    return ObstoreBlobs.at((tmp_path / "new folder" / "blobs").as_uri())


async def test_what_is_put_can_be_opened(blobs: ObstoreBlobs) -> None:
    await blobs.put(KEY, b"\x00picture\xff")

    assert await blobs.open(KEY) == b"\x00picture\xff"
    assert await blobs.size(KEY) == 9


async def test_nothing_is_a_blob_too(blobs: ObstoreBlobs) -> None:
    await blobs.put(KEY, b"")

    assert await blobs.open(KEY) == b""
    assert await blobs.size(KEY) == 0


async def test_an_existing_key_is_replaced_whole(blobs: ObstoreBlobs) -> None:
    await blobs.put(KEY, b"a longer first version")
    await blobs.put(KEY, b"short")

    assert await blobs.open(KEY) == b"short"


async def test_a_missing_key_is_not_found(blobs: ObstoreBlobs) -> None:
    with pytest.raises(NotFound):
        await blobs.open(KEY)
    with pytest.raises(NotFound):
        await blobs.size(KEY)


async def test_delete_removes_one_key_and_may_be_repeated(blobs: ObstoreBlobs) -> None:
    await blobs.put(KEY, b"x")
    await blobs.put("p_1/2/1.png", b"y")

    await blobs.delete(KEY)
    await blobs.delete(KEY)

    assert await blobs.list("") == ["p_1/2/1.png"]


async def test_a_folder_is_no_blob(blobs: ObstoreBlobs) -> None:
    await blobs.put(KEY, b"x")

    with pytest.raises(NotFound):
        await blobs.open("p_1/2")
    await blobs.delete("p_1/2")

    assert await blobs.list("p_1") == [KEY]


async def test_list_goes_by_whole_parts(blobs: ObstoreBlobs) -> None:
    for key in ("a/1", "a/b/2", "ab/3", "c"):
        await blobs.put(key, b"x")

    assert await blobs.list("a") == ["a/1", "a/b/2"]
    assert await blobs.list("a/") == ["a/1", "a/b/2"]
    assert await blobs.list("nope") == []
    assert await blobs.list("") == ["a/1", "a/b/2", "ab/3", "c"]


async def test_list_is_not_cut_at_a_page(blobs: ObstoreBlobs) -> None:
    keys = [f"many/{n:04}" for n in range(60)]  # obstore's pages hold 50
    for key in keys:
        await blobs.put(key, b"x")

    assert await blobs.list("many") == keys


@pytest.mark.parametrize(
    "key",
    ["", "/", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/./b", ".", ".hidden", "a/.b", "a\\b",
     "a\0b", "a b", "a%2e%2e", "a#1", "a?b", "é", "a\n", "C:/a", "~/a", "x" * 201,
     "a/" * 500 + "a"],
)  # fmt: skip
async def test_other_keys_are_refused(blobs: ObstoreBlobs, key: str) -> None:
    with pytest.raises(ValueError, match="is not made of plain parts"):
        await blobs.put(key, b"x")
    with pytest.raises(ValueError, match="is not made of plain parts"):
        await blobs.open(key)
    with pytest.raises(ValueError, match="is not made of plain parts"):
        await blobs.size(key)
    with pytest.raises(ValueError, match="is not made of plain parts"):
        await blobs.delete(key)


async def test_list_refuses_to_climb(blobs: ObstoreBlobs) -> None:
    with pytest.raises(ValueError, match="is not made of plain parts"):
        await blobs.list("../..")


async def test_many_writers_of_one_key_leave_one_whole_version(blobs: ObstoreBlobs) -> None:
    versions = [bytes([n]) * 50_000 for n in range(8)]

    await asyncio.gather(*(blobs.put(KEY, version) for version in versions))

    assert await blobs.open(KEY) in versions
    assert await blobs.list("") == [KEY]


async def test_a_folder_keeps_blobs_to_their_owner(tmp_path: Path) -> None:
    blobs = ObstoreBlobs.at((tmp_path / "blobs").as_uri())

    await blobs.put(KEY, b"x")

    for path in (tmp_path / "blobs", *(tmp_path / "blobs").rglob("*")):
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


@pytest.mark.skipif(sys.platform != "linux", reason="names open files through /proc")
async def test_a_folder_syncs_the_file_and_then_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = ObstoreBlobs.at(tmp_path.as_uri())
    synced: list[str] = []

    def sync(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))

    monkeypatch.setattr(module.os, "fsync", sync)

    await blobs.put("a/b/c", b"x")

    assert synced[0].startswith(str(tmp_path / "a/b/c#"))
    assert synced[1:] == [str(tmp_path / "a/b"), str(tmp_path / "a"), str(tmp_path)]


async def test_a_failed_write_leaves_the_old_blob_and_says_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = ObstoreBlobs.at(tmp_path.as_uri())
    await blobs.put(KEY, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(Busy) as caught:
        await blobs.put(KEY, b"new")

    assert str(tmp_path) not in str(caught.value)
    assert await blobs.open(KEY) == b"old"
    assert [path.name for path in (tmp_path / "p_1/2").iterdir()] == ["0.png"]


async def test_a_folder_taken_away_is_busy_not_a_missing_blob(tmp_path: Path) -> None:
    blobs = ObstoreBlobs.at((tmp_path / "blobs").as_uri())
    (tmp_path / "blobs").rmdir()

    with pytest.raises(Busy):
        await blobs.put(KEY, b"x")


async def test_a_half_written_file_of_a_crash_is_no_blob(tmp_path: Path) -> None:
    blobs = ObstoreBlobs.at(tmp_path.as_uri())
    await blobs.put(KEY, b"x")
    (tmp_path / "p_1/2/1.png#4711").write_bytes(b"half")

    assert await blobs.list("") == [KEY]


async def test_a_bucket_that_does_not_answer_is_busy() -> None:
    blobs = ObstoreBlobs.at(
        "s3://bucket/prefix",
        endpoint="http://127.0.0.1:9",
        region="nowhere",
        access_key_id="a",
        secret_access_key="b",  # noqa: S106  opens nothing
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )

    with pytest.raises(Busy) as caught:
        await blobs.put(KEY, b"x")

    assert "127.0.0.1" not in str(caught.value)


async def listed_before(blobs: ObstoreBlobs, when: float) -> list[str]:
    return sorted([key async for keys in blobs.written_before(when) for key in keys])


async def test_what_is_older_is_told_from_what_is_younger(blobs: ObstoreBlobs) -> None:
    await blobs.put(KEY, b"x")
    await blobs.put("inputs/a/0", b"y")

    assert await listed_before(blobs, time.time() + 60) == ["inputs/a/0", KEY]
    assert await listed_before(blobs, time.time() - 60) == []


DIE_WHILE_WRITING = """
import asyncio, os, signal, sys
from retouch.blobs import ObstoreBlobs
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(ObstoreBlobs.at(sys.argv[1]).put("p/1/0.png", b"half"))
"""


async def test_what_a_killed_writer_left_is_no_blob_and_can_be_tidied(tmp_path: Path) -> None:
    blobs = ObstoreBlobs.at(tmp_path.as_uri())
    await blobs.put("p/1/1.png", b"whole")
    command = [sys.executable, "-c", DIE_WHILE_WRITING, tmp_path.as_uri()]
    killed = await asyncio.create_subprocess_exec(*command)
    assert await killed.wait() == -9
    files = len(list((tmp_path / "p/1").iterdir()))

    listed = await blobs.list("")
    await blobs.tidy(time.time() - 60)
    young = len(list((tmp_path / "p/1").iterdir()))
    await blobs.tidy(time.time() + 60)

    assert listed == ["p/1/1.png"]
    assert (files, young) == (2, 2)
    assert [path.name for path in (tmp_path / "p/1").iterdir()] == ["1.png"]
