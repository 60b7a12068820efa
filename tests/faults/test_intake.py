"""Creating while the store and the blobs fail: one prediction at most, and its pictures with it."""

import itertools
from typing import Any

import pytest

from retouch.blobs import ObstoreBlobs
from retouch.domain.edit import BlobImage, Edit, InlineImage
from retouch.domain.errors import Busy
from retouch.domain.prediction import Prediction
from retouch.net.signing import LinkSigner
from retouch.ports import Blobs, Files, Store
from retouch.protocols import DIALECTS
from retouch.protocols.base import Submission
from retouch.service.catalogue import Catalogue
from retouch.service.intake import Intake, Sender
from retouch.service.links import Links
from retouch.service.reconcile import MARGIN_S, Reconciler
from retouch.testing import FakeClock, MemoryStore
from tests.faults.wrappers import Fault, Nth, faulty

MODEL = "black-forest-labs/flux-kontext-pro"
PICTURE = b"a picture"
VERBS = ("first", "add", "put")
FAULTS = [
    (verb, fault, nth, times)
    for verb in VERBS
    for fault in Fault
    for nth in (1, 2)
    for times in (1, 3)
]


class Counting:
    """Random bytes that never repeat."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def __call__(self, size: int) -> bytes:
        return next(self._count).to_bytes(size, "big")


class Site:
    """An intake over ports that fail by a plan, and the ports as they are."""

    def __init__(self, plan: Nth) -> None:
        self.clock, self.blobs = FakeClock(1e12), ObstoreBlobs.at("memory:///")
        self.store = MemoryStore(self.clock)
        store = faulty(self.store, plan, Store, Files)
        self.intake = Intake(
            store=store,
            files=store,
            blobs=faulty(self.blobs, plan, Blobs),
            clock=self.clock,
            entropy=Counting(),
            links=Links(LinkSigner(b"a secret of sixteen"), self.clock),
            catalogue=Catalogue.build(DIALECTS),
        )

    async def create(self, once: str = "key") -> Prediction:
        """As a client does that repeats its request until it is answered."""
        edit = Edit(prompt="x", images=(InlineImage(PICTURE), InlineImage(PICTURE + b"!")))
        submission = Submission(model=MODEL, edit=edit, input={})
        sender = Sender(owner="ada", protocol="replicate", fingerprint="f", once=once)
        for _ in range(10):
            try:
                return await self.intake.accept(submission, sender)
            except Busy:
                continue
        raise AssertionError("it was never accepted")

    async def rows(self) -> Any:
        return await self.store.page(None, limit=100)

    async def reconcile(self) -> int:
        reconciler = Reconciler(
            store=self.store, files=self.store, blobs=self.blobs, clock=self.clock
        )
        return await reconciler.turn()


@pytest.mark.parametrize(("verb", "fault", "nth", "times"), FAULTS)
async def test_a_create_that_is_repeated_until_it_is_answered_happens_once(
    verb: str, fault: Fault, nth: int, times: int
) -> None:
    site = Site(Nth(verb, fault, nth, times))

    first, again = await site.create(), await site.create()

    assert again == first
    assert [row.id for row in await site.rows()] == [first.id]
    for image in first.edit.images:
        assert isinstance(image, BlobImage)
        assert (await site.blobs.open(image.key)).startswith(PICTURE)


@pytest.mark.parametrize(("verb", "fault", "nth", "times"), FAULTS)
async def test_what_failed_creates_left_behind_is_swept_and_nothing_else(
    verb: str, fault: Fault, nth: int, times: int
) -> None:
    site = Site(Nth(verb, fault, nth, times))
    made = await site.create()
    named = {image.key for image in made.edit.images if isinstance(image, BlobImage)}
    before = set(await site.blobs.list(""))

    site.clock.advance(MARGIN_S + 1)
    removed = await site.reconcile()

    assert set(await site.blobs.list("")) == named
    assert removed == len(before - named)


async def test_a_create_under_way_is_not_swept() -> None:
    site = Site(Nth("add", Fault.REFUSED, times=99))
    with pytest.raises(AssertionError):
        await site.create()
    left = await site.blobs.list("")

    site.clock._now = 0.0  # what was written is younger than any margin
    removed = await site.reconcile()

    assert (removed, await site.blobs.list("")) == (0, left)
