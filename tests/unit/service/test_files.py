"""Uploads: what the bytes are, what they are called, and the sweep that survives a crash."""

import secrets

import pytest

from retouch.blobs import ObstoreBlobs
from retouch.domain.errors import NotFound
from retouch.protocols.base import Upload
from retouch.service.files import Uploads, picture_type
from retouch.service.janitor import Janitor
from retouch.testing import FakeClock, MemoryStore


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff\xe0...", "image/jpeg"),
        (b"GIF89a...", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"<svg/>", None),
        (b"\x00" * 8 + b"WEBP", None),
        (b"", None),
    ],
)
def test_pictures_are_known_by_their_first_bytes(data: bytes, kind: str | None) -> None:
    assert picture_type(data) == kind


class Shelf:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.blobs = ObstoreBlobs.at("memory:///")
        self.uploads = Uploads(
            files=self.store, blobs=self.blobs, clock=self.clock, entropy=secrets.token_bytes
        )
        stored = {"store": self.store, "files": self.store, "blobs": self.blobs}
        self.janitor = Janitor(clock=self.clock, keep_s={}, **stored)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.mark.parametrize(
    ("name", "kept"),
    [("a/b\\c.png", "c.png"), ("..", ".."), ("\r\nx", "x"), ("", "file"), ("a" * 300, "a" * 200)],
)
async def test_a_name_is_only_a_name(shelf: Shelf, name: str, kept: str) -> None:
    file = await shelf.uploads.add("me", Upload(name=name, content_type="", data=b"x"))

    assert file.name == kept


@pytest.mark.parametrize(
    ("claim", "kept"),
    [
        ("text/plain; charset=utf-8", "text/plain"),
        ("image/svg+xml", "image/svg+xml"),
        ("nonsense", "application/octet-stream"),
        ("a/b\r\nset-cookie: c", "application/octet-stream"),
    ],
)
async def test_a_claimed_type_is_fit_for_a_header(shelf: Shelf, claim: str, kept: str) -> None:
    file = await shelf.uploads.add("me", Upload(name="a", content_type=claim, data=b"x"))

    assert file.content_type == kept


async def test_a_page_ends_where_the_next_begins(shelf: Shelf) -> None:
    made = []
    for _ in range(5):
        shelf.clock.advance(1)
        upload = Upload(name="a", content_type="", data=b"x")
        made.append((await shelf.uploads.add("me", upload)).id)

    first, after = await shelf.uploads.page("me", limit=3, after=None)
    rest, end = await shelf.uploads.page("me", limit=3, after=after)

    assert [file.id for file in (*first, *rest)] == made[::-1]
    assert end is None


async def test_the_sweep_finishes_what_a_crash_left(shelf: Shelf) -> None:
    file = await shelf.uploads.add("me", Upload(name="a", content_type="", data=b"x"))
    kept = await shelf.uploads.add("me", Upload(name="b", content_type="", data=b"y"))
    await shelf.store.delete_file(kept.id)
    await shelf.blobs.delete(file.key)
    shelf.clock.advance(86_400)

    assert await shelf.janitor.sweep() == 1
    assert await shelf.janitor.sweep() == 0
    with pytest.raises(NotFound):
        await shelf.uploads.get(file.id, "me")
