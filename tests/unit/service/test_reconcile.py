"""Bytes that nobody names go; everything else stays."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from retouch.blobs import ObstoreBlobs
from retouch.domain.edit import Edit
from retouch.domain.prediction import Cancel, Fence, Prediction, Succeed
from retouch.ports import File
from retouch.service.reconcile import MARGIN_S, Reconciler
from retouch.store import SqlStore, migrate
from retouch.testing import FakeClock, MemoryStore


class Site:
    """A store, blobs, and the sweeper, whose clock is past the margin."""

    def __init__(self) -> None:
        self.clock = FakeClock(time.time() + MARGIN_S + 60)
        self.store, self.blobs = MemoryStore(self.clock), ObstoreBlobs.at("memory:///")
        ports = {"store": self.store, "files": self.store, "blobs": self.blobs}
        self.reconciler = Reconciler(clock=self.clock, **ports)

    async def add(self, id: str) -> None:
        await self.store.add(
            Prediction(
                id=id,
                owner="ada",
                protocol="fal",
                model="m",
                input={},
                edit=Edit(prompt="x"),
                created_at=0.0,
            )
        )

    async def left(self, *keys: str) -> list[str]:
        """What remains of these keys after a sweep."""
        for key in keys:
            await self.blobs.put(key, b"x")
        await self.reconciler.turn()
        return list(await self.blobs.list(""))


@pytest.fixture
def site() -> Site:
    return Site()


async def test_inputs_go_unless_their_prediction_came(site: Site) -> None:
    await site.add("a")

    assert await site.left("inputs/a/0", "inputs/a/1", "inputs/b/0") == ["inputs/a/0", "inputs/a/1"]


async def test_only_the_pictures_of_the_attempt_that_won_stay(site: Site) -> None:
    await site.add("a")
    for attempt in (1, 2):
        await site.store.claim("w", limit=1, lease_s=0)
        if attempt == 1:
            await site.store.release()
    await site.store.advance("a", Succeed((), {}), fence=Fence("w", 2))

    assert await site.left("a/1/0.png", "a/2/0.png", "a/2/1.png") == ["a/2/0.png", "a/2/1.png"]


async def test_pictures_of_a_prediction_that_was_cancelled_go(site: Site) -> None:
    await site.add("a")
    await site.store.claim("w", limit=1, lease_s=60)
    await site.store.advance("a", Cancel("ada"))

    assert await site.left("a/1/0.png") == []


async def test_pictures_of_a_prediction_that_is_not_over_stay(site: Site) -> None:
    await site.add("a")

    assert await site.left("a/1/0.png") == ["a/1/0.png"]


async def test_an_upload_goes_unless_its_file_came(site: Site) -> None:
    kept = File(
        id="f",
        owner="ada",
        name="cat.png",
        content_type="image/png",
        size_bytes=1,
        sha256="",
        md5="",
        key="uploads/f",
        created_at=0.0,
        expires_at=1e12,
    )
    await site.store.add_file(kept)

    assert await site.left("uploads/f", "uploads/g") == ["uploads/f"]


async def test_what_we_would_not_have_written_stays(site: Site) -> None:
    assert await site.left("notes.txt", "a/b/c/d") == ["a/b/c/d", "notes.txt"]


async def test_what_is_young_stays(site: Site) -> None:
    site.clock.advance(-MARGIN_S)

    assert await site.left("inputs/b/0") == ["inputs/b/0"]


DIE_BEFORE_THE_ROW = """
import asyncio, os, secrets, signal, sys
from retouch.blobs import ObstoreBlobs
from retouch.domain.edit import Edit, InlineImage
from retouch.net.signing import LinkSigner
from retouch.protocols import DIALECTS
from retouch.protocols.base import Submission
from retouch.service.catalogue import Catalogue
from retouch.service.intake import Intake, Sender
from retouch.service.links import Links
from retouch.store import SqlStore
from retouch.testing import FakeClock

class Doomed(SqlStore):
    async def add(self, prediction, **options):
        os.kill(os.getpid(), signal.SIGKILL)

async def main(database, blobs):
    store, clock = Doomed(database), FakeClock()
    await store.start()
    intake = Intake(store=store, files=store, blobs=ObstoreBlobs.at(blobs), clock=clock,
        entropy=secrets.token_bytes, links=Links(LinkSigner(b"a secret of sixteen"), clock),
        catalogue=Catalogue.build(DIALECTS))
    edit = Edit(prompt="x", images=(InlineImage(b"a picture"),))
    await intake.accept(
        Submission(model="black-forest-labs/flux-kontext-pro", edit=edit, input={}),
        Sender(owner="ada", protocol="replicate", fingerprint="f"),
    )

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_server_killed_between_the_picture_and_the_row_leaves_nothing(
    tmp_path: Path,
) -> None:
    database, folder = f"sqlite:///{tmp_path}/retouch.db", tmp_path / "blobs"
    await migrate(database)
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DIE_BEFORE_THE_ROW, database, folder.as_uri()
    )
    assert await killed.wait() == -9
    store, blobs = SqlStore(database), ObstoreBlobs.at(folder.as_uri())
    await store.start()
    (orphan,) = await blobs.list("")
    os.utime(folder / orphan, (0, 0))  # long ago

    clock = FakeClock(time.time())
    removed = await Reconciler(store=store, files=store, blobs=blobs, clock=clock).turn()
    rows = await store.page(None, limit=9)
    await store.stop()

    assert removed == 1
    assert await blobs.list("") == []
    assert rows == []
