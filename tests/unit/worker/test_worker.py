"""The worker over the in-memory store, the toy family and fakes at its edges."""

import asyncio
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from retouch.domain.edit import BlobImage, Edit, OutputFormat, Size, UrlImage
from retouch.domain.errors import BadInput, Blocked, Busy, NotFound
from retouch.domain.picture import Picture
from retouch.domain.prediction import (
    PREVIEW,
    Cancel,
    Fence,
    Move,
    Prediction,
    Progress,
    Requeue,
    Status,
)
from retouch.engine.engine import StepEngine
from retouch.engine.families.toy import Stage, ToyFamily
from retouch.images.encode import encode
from retouch.images.process import ProcessDecoder
from retouch.ports import Beat, Decoder, Job
from retouch.service.safety import Safety
from retouch.service.words import WordList
from retouch.testing import FakeClock, MemoryStore
from retouch.worker import Worker, WorkerOptions

OPTIONS = WorkerOptions(beat_s=0.01, poll_s=0.01, drain_s=5, retry_s=0.01, blob_tries=4)
PIXEL = Picture(1, 1, b"\x10\x20\x30")


class DictBlobs:
    """Blobs in a dictionary; `failures` puts fail first."""

    def __init__(self, failures: int = 0) -> None:
        self.kept: dict[str, bytes] = {}
        self.failures = failures

    async def put(self, key: str, data: bytes) -> None:
        if self.failures:
            self.failures -= 1
            raise Busy("no room")
        self.kept[key] = data

    async def open(self, key: str) -> bytes:
        if key not in self.kept:
            raise NotFound("blob", key)
        return self.kept[key]

    async def size(self, key: str) -> int:
        return len(await self.open(key))

    async def delete(self, key: str) -> None:
        self.kept.pop(key, None)

    async def list(self, prefix: str) -> Sequence[str]:
        return [key for key in self.kept if key.startswith(prefix)]


class SlowPuts(DictBlobs):
    """Blobs whose puts wait until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.goes_on = asyncio.Event(), asyncio.Event()

    async def put(self, key: str, data: bytes) -> None:
        self.began.set()
        await self.goes_on.wait()
        await super().put(key, data)


class Edges:
    """A fetcher and a decoder that know one good picture."""

    async def fetch(self, url: str) -> bytes:
        if "bad" in url:
            raise BadInput("The image URL could not be fetched: the server answered 404.")
        return b"picture"

    async def decode(self, data: bytes) -> Picture:
        if data != b"picture":
            raise BadInput("The input image could not be decoded.")
        return PIXEL


@dataclass
class Gate:
    """Holds the engine's thread inside a step until opened."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def __call__(self, _delay_s: float) -> None:
        self.reached.set()
        assert self.opened.wait(5)


def prediction(id: str = "p", edit: Edit | None = None) -> Prediction:
    return Prediction(
        id=id,
        owner="me",
        protocol="test",
        model="a/b",
        input={},
        edit=edit or Edit(prompt="go", seed=1),
        created_at=0.0,
    )


@asynccontextmanager
async def working(
    store: MemoryStore,
    blobs: DictBlobs | None = None,
    family: ToyFamily | None = None,
    options: WorkerOptions = OPTIONS,
    engine: StepEngine | None = None,
    safety: Safety | None = None,
    decoder: Decoder | None = None,
    edges: Edges | None = None,
) -> AsyncIterator[Worker]:
    edges = edges or Edges()
    worker = Worker(
        "w",
        store=store,
        blobs=blobs or DictBlobs(),
        fetcher=edges,
        decoder=decoder or edges,
        engine=engine or StepEngine(family or ToyFamily(), clock=FakeClock()),
        safety=safety,
        options=options,
    )
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(task, 10)


async def until(store: MemoryStore, holds: Callable[[], Awaitable[bool]]) -> None:
    async def look() -> None:
        while not await holds():
            await store.changed(0.02)

    await asyncio.wait_for(look(), 5)


async def ended(store: MemoryStore, id: str = "p") -> Prediction:
    async def is_final() -> bool:
        found = await store.get(id)
        return found is not None and found.status.is_final

    await until(store, is_final)
    found = await store.get(id)
    assert found is not None
    return found


async def test_a_prediction_becomes_a_stored_picture() -> None:
    store, blobs = MemoryStore(), DictBlobs()
    await store.add(prediction())

    async with working(store, blobs):
        done = await ended(store)

    assert done.status is Status.SUCCEEDED
    assert [output.key for output in done.outputs] == ["p/1/0.png"]
    assert blobs.kept["p/1/0.png"].startswith(b"\x89PNG")
    assert done.logs.startswith("Using seed: 1\n")
    assert "predict_time" in done.metrics


async def test_references_come_from_urls_and_blobs() -> None:
    store, blobs = MemoryStore(), DictBlobs()
    blobs.kept["in/0"] = b"picture"
    images = (UrlImage("http://h/good.png"), BlobImage("in/0"))
    await store.add(prediction(edit=Edit(prompt="x", images=images, seed=1)))

    async with working(store, blobs):
        done = await ended(store)

    assert done.status is Status.SUCCEEDED


async def test_pictures_that_are_too_much_together_fail_before_the_rest_is_decoded() -> None:
    store, opened = MemoryStore(), list[str]()

    class Counting(Edges):
        async def fetch(self, url: str) -> bytes:
            opened.append(url)
            return b"picture"

    images = tuple(UrlImage(f"https://pictures.example/{n}") for n in range(4))
    for id, count in (("fits", 2), ("p", 4)):
        await store.add(prediction(id, Edit(prompt="x", images=images[:count], seed=1)))

    limit = 2 * PIXEL.width * PIXEL.height
    async with working(store, options=replace(OPTIONS, max_pixels=limit), edges=Counting()):
        fits, done = await ended(store, "fits"), await ended(store)

    assert fits.status is Status.SUCCEEDED
    assert done.status is Status.FAILED
    assert re.fullmatch(
        r"The input images have more than the \S+ megapixels allowed together\.", done.error or ""
    )
    assert images[3].url not in opened


async def test_a_picture_that_kills_its_decoders_fails_and_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, blobs, decoder = MemoryStore(), DictBlobs(), ProcessDecoder()
    blobs.kept["in/0"] = encode(PIXEL, OutputFormat.PNG)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))  # dies whatever it is asked
    await store.add(prediction(edit=Edit(prompt="x", images=(BlobImage("in/0"),), seed=1)))

    async with working(store, blobs, decoder=decoder):
        done = await ended(store)
    await decoder.stop()

    assert done.status is Status.FAILED
    assert done.error == (
        "The input image could not be decoded: it is damaged or needs too much memory."
    )
    assert done.attempt == 1


async def test_a_decoder_that_somebody_kills_costs_no_prediction() -> None:
    store, blobs, decoder = MemoryStore(), DictBlobs(), ProcessDecoder()
    blobs.kept["in/0"] = photo = encode(PIXEL, OutputFormat.PNG)
    await decoder.decode(photo)
    (child,) = decoder._idle
    os.kill(child._process.pid, signal.SIGSTOP)
    await store.add(prediction(edit=Edit(prompt="x", images=(BlobImage("in/0"),), seed=1)))

    async with working(store, blobs, decoder=decoder):

        async def is_decoding() -> bool:
            return bool(decoder._busy)

        await until(store, is_decoding)
        child._process.kill()
        done = await ended(store)
    await decoder.stop()

    assert done.status is Status.SUCCEEDED
    assert done.attempt == 1


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (
            UrlImage("http://h/bad.png"),
            "The image URL could not be fetched: the server answered 404.",
        ),
        (BlobImage("broken"), "The input image could not be decoded."),
        (BlobImage("gone"), "blob 'gone' not found"),
    ],
)
async def test_an_unusable_picture_fails_its_prediction_with_a_sentence(
    source: UrlImage | BlobImage, error: str
) -> None:
    store, blobs = MemoryStore(), DictBlobs()
    blobs.kept["broken"] = b"?"
    await store.add(prediction(edit=Edit(prompt="x", images=(source,), seed=1)))

    async with working(store, blobs):
        done = await ended(store)

    assert (done.status, done.error) == (Status.FAILED, error)


async def test_a_broken_job_fails_and_its_neighbour_does_not() -> None:
    def breaks(stage: Stage, prompt: str) -> bool:
        return stage == "step" and prompt == "break"

    store = MemoryStore()
    await store.add(prediction("bad", Edit(prompt="break", seed=1)))
    await store.add(prediction("good"))

    async with working(store, family=ToyFamily(breaks=breaks)):
        bad, good = await ended(store, "bad"), await ended(store, "good")

    assert bad.status is Status.FAILED
    assert bad.error == "The toy broke at step, as it was told to."
    assert good.status is Status.SUCCEEDED


async def test_cancel_while_running_frees_the_engine_at_the_next_step() -> None:
    store, gate = MemoryStore(), Gate()
    await store.add(prediction())

    async with working(store, family=ToyFamily(steps=1000, sleep=gate)):
        await asyncio.to_thread(gate.reached.wait, 5)
        assert await store.advance("p", Cancel("me"))
        gate.opened.set()
        await store.add(prediction("next", Edit(prompt="go", seed=1, steps=1)))
        done = await ended(store, "next")

    canceled = await store.get("p")
    assert canceled is not None
    assert canceled.status is Status.CANCELED
    assert done.status is Status.SUCCEEDED


async def test_cancel_while_queued_never_reaches_the_engine() -> None:
    store, gate = MemoryStore(), Gate()
    gate.opened.set()
    await store.add(prediction())
    await store.advance("p", Cancel("me"))
    await store.add(prediction("next"))

    async with working(store, family=ToyFamily(sleep=gate)):
        await ended(store, "next")

    names = [event.name for event in await store.events("p")]
    assert names == ["created", "canceled"]


async def test_progress_is_published_by_the_beat() -> None:
    store, gate = MemoryStore(), Gate()
    steps = iter(range(1000))

    def sleep(delay_s: float) -> None:
        if next(steps) >= 2:
            gate(delay_s)

    await store.add(prediction())

    async def two_of_four() -> bool:
        found = await store.get("p")
        return found is not None and found.progress == Progress(2, 4)

    async with working(store, family=ToyFamily(steps=4, sleep=sleep)):
        await until(store, two_of_four)
        gate.opened.set()
        await ended(store)


async def test_previews_are_stored_and_told_before_the_result() -> None:
    store, blobs = MemoryStore(), DictBlobs()
    await store.add(prediction(edit=Edit(prompt="go", seed=1, steps=8, previews=3)))

    async with working(store, blobs):
        done = await ended(store)

    assert done.progress is not None
    assert done.progress.previews == 3
    for n in range(3):
        assert blobs.kept[done.preview_key(n)].startswith(b"\x89PNG")
    assert [output.key for output in done.outputs] == ["p/1/0.png"]


async def test_previews_that_cannot_be_stored_are_left_out() -> None:
    store = MemoryStore()
    await store.add(prediction(edit=Edit(prompt="go", seed=1, steps=8, previews=3)))

    async with working(store, DictBlobs(failures=2)):
        done = await ended(store)

    assert done.status is Status.SUCCEEDED
    assert done.progress is not None
    assert done.progress.previews == 1


async def test_a_preview_of_what_was_cancelled_meanwhile_leaves_nothing() -> None:
    store, blobs = MemoryStore(), SlowPuts()
    await store.add(prediction(edit=Edit(prompt="go", seed=1, previews=1)))
    gate = Gate()
    gate.opened.set()

    async with working(store, blobs, ToyFamily(sleep=gate)) as worker:
        await asyncio.wait_for(blobs.began.wait(), 5)
        await store.advance("p", Cancel("me"))
        await asyncio.wait_for(worker._empty.wait(), 5)
        blobs.goes_on.set()

    assert not [key for key in blobs.kept if PREVIEW in key]


async def test_a_lost_lease_means_the_result_is_not_written() -> None:
    store, gate, blobs = MemoryStore(), Gate(), DictBlobs()
    await store.add(prediction())

    async with working(store, blobs, ToyFamily(steps=1, sleep=gate)) as worker:
        await asyncio.to_thread(gate.reached.wait, 5)
        worker.stop()  # or it would claim the prediction again
        await store.release("w")
        gate.opened.set()

    found = await store.get("p")
    assert found is not None
    assert (found.status, found.attempt) == (Status.QUEUED, 1)


async def test_a_stop_lets_running_edits_finish() -> None:
    store, gate = MemoryStore(), Gate()
    await store.add(prediction())

    async with working(store, family=ToyFamily(sleep=gate)) as worker:
        await asyncio.to_thread(gate.reached.wait, 5)
        worker.stop()
        gate.opened.set()

    found = await store.get("p")
    assert found is not None
    assert found.status is Status.SUCCEEDED


async def test_what_outlasts_the_drain_is_given_back_with_its_attempt() -> None:
    store, gate = MemoryStore(), Gate()
    await store.add(prediction())
    options = WorkerOptions(beat_s=0.01, poll_s=0.01, drain_s=0.01, retry_s=0.01)

    async with working(store, family=ToyFamily(steps=10, sleep=gate), options=options) as worker:
        await asyncio.to_thread(gate.reached.wait, 5)
        worker.stop()

        async def is_queued() -> bool:
            found = await store.get("p")
            return found is not None and found.status is Status.QUEUED

        await until(store, is_queued)
        gate.opened.set()

    found = await store.get("p")
    assert found is not None
    assert found.attempt == 0
    assert (await store.events("p"))[-1].name == "requeued"


async def test_a_failing_blob_store_is_tried_again() -> None:
    store = MemoryStore()
    await store.add(prediction())

    async with working(store, DictBlobs(failures=3)):
        done = await ended(store)

    assert done.status is Status.SUCCEEDED


async def test_a_blob_store_that_stays_away_fails_the_prediction() -> None:
    store = MemoryStore()
    await store.add(prediction())

    async with working(store, DictBlobs(failures=1000)):
        done = await ended(store)

    assert done.error == "The finished picture could not be stored. Please try again."


async def test_the_engine_learns_whose_job_it_is_how_urgent_and_until_when() -> None:
    store, added = MemoryStore(), []

    class Listening(StepEngine):
        def add(self, job: Job) -> None:
            added.append(job)
            super().add(job)

    await store.add(replace(prediction(), owner="you", priority=-1, deadline=2e9))
    engine = Listening(ToyFamily(), clock=FakeClock())

    async with working(store, engine=engine):
        await ended(store)

    assert [(job.owner, job.priority, job.deadline) for job in added] == [("you", -1, 2e9)]


class Judge:
    """Refuses pictures of a size, and counts what it sees."""

    name = "judge"

    def __init__(self, width: int = 0) -> None:
        self.width, self.seen = width, 0

    def judge(self, picture: Picture, tolerance: int) -> str | None:
        self.seen += 1
        return "something" if picture.width == self.width else None


async def test_a_refused_prompt_never_reaches_the_engine() -> None:
    store = MemoryStore()
    await store.add(prediction(edit=Edit(prompt="a nude", seed=1)))

    def breaks(stage: Stage, prompt: str) -> bool:
        raise AssertionError("the engine was asked")

    async with working(store, family=ToyFamily(breaks=breaks), safety=Safety(WordList.built_in())):
        done = await ended(store)

    assert done.error == "The prompt or an input picture was refused by a safety check. " \
        "Found: nudity."  # fmt: skip
    assert done.progress is None


@pytest.mark.parametrize(
    ("width", "begins"),
    [(PIXEL.width, Blocked.REQUEST), (64, Blocked.RESULT)],
    ids=["an input", "a result"],
)
async def test_a_refused_picture_fails_its_prediction_and_is_not_stored(
    width: int, begins: str
) -> None:
    store, blobs = MemoryStore(), DictBlobs()
    edit = Edit(prompt="x", images=(UrlImage("http://h/good.png"),), size=Size(64, 64), seed=1)
    await store.add(prediction(edit=edit))

    async with working(store, blobs, safety=Safety(pictures=Judge(width))):
        done = await ended(store)

    assert done.status is Status.FAILED
    assert (done.error or "").startswith(begins)
    assert "Safety checks: pictures by judge" in done.logs
    assert blobs.kept == {}


@pytest.mark.parametrize(("tolerance", "judged"), [(2, True), (6, False)])
async def test_the_outcome_records_whether_pictures_were_judged(
    tolerance: int, judged: bool
) -> None:
    store, judge = MemoryStore(), Judge()
    edit = Edit(prompt="x", seed=1, previews=1, safety_tolerance=tolerance)
    await store.add(prediction(edit=edit))

    async with working(store, safety=Safety(pictures=judge)):
        done = await ended(store)

    assert [output.is_judged for output in done.outputs] == [judged]
    assert judge.seen == (2 if judged else 0)  # the preview, and the picture
    assert ("Safety checks" in done.logs) is judged


async def test_logs_say_what_became_of_a_prompt_to_be_upsampled() -> None:
    store = MemoryStore()
    await store.add(prediction(edit=Edit(prompt="x", seed=1, prompt_upsampling=True)))

    async with working(store):
        done = await ended(store)

    assert done.status is Status.SUCCEEDED
    seed, said, *rest = done.logs.splitlines()
    assert seed == "Using seed: 1"
    assert said.startswith("Prompt upsampling is not configured on this server")
    assert "%|" in rest[-1]


class SlowBeats(MemoryStore):
    """A store whose beats answer late, so that claims happen while one is under way."""

    async def beat(
        self, worker: str, held: Mapping[str, tuple[int, Progress | None]], *, lease_s: float
    ) -> Beat:
        answer = await super().beat(worker, held, lease_s=lease_s)
        await asyncio.sleep(0.05)
        return answer


async def test_what_is_claimed_while_a_beat_is_under_way_is_not_dropped() -> None:
    store = SlowBeats()
    for n in range(40):
        await store.add(prediction(f"p{n}"))

    async with working(store):
        done = [await ended(store, f"p{n}") for n in range(40)]

    assert {(p.status, p.attempt) for p in done} == {(Status.SUCCEEDED, 1)}


async def test_a_prediction_claimed_again_by_the_same_worker_finishes_once() -> None:
    store, gate = MemoryStore(), Gate()
    await store.add(prediction())

    async with working(store, family=ToyFamily(steps=3, sleep=gate)):
        await asyncio.to_thread(gate.reached.wait, 5)
        await store.advance("p", Requeue("abandoned"))
        gate.opened.set()
        done = await ended(store)

    assert (done.status, done.attempt) == (Status.SUCCEEDED, 2)
    names = [event.name for event in await store.events("p")]
    assert names == ["created", "started", "requeued", "started", "succeeded"]


class SlowClaims(MemoryStore):
    """A store whose claims answer only when told, after they have happened."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed, self.answer = asyncio.Event(), asyncio.Event()

    async def claim(self, worker: str, *, limit: int, lease_s: float) -> Sequence[Prediction]:
        found = await super().claim(worker, limit=limit, lease_s=lease_s)
        if found:
            self.claimed.set()
            await self.answer.wait()
        return found


async def test_a_claim_under_way_at_the_stop_is_given_back() -> None:
    store = SlowClaims()
    await store.add(prediction())

    async with working(store) as worker:
        await asyncio.wait_for(store.claimed.wait(), 5)
        worker.stop()
        await asyncio.sleep(0)
        store.answer.set()

    found = await store.get("p")
    assert found is not None
    assert (found.status, found.attempt) == (Status.QUEUED, 0)


class TellingBeats(MemoryStore):
    """A store where a finished prediction is noticed by a beat before its worker hears of it."""

    async def advance(
        self, id: str, move: Move, *, fence: Fence | None = None
    ) -> Prediction | None:
        self.beaten, self.heard = asyncio.Event(), asyncio.Event()
        moved = await super().advance(id, move, fence=fence)
        await self.beaten.wait()
        asyncio.get_running_loop().call_later(0.01, self.heard.set)
        return moved

    async def beat(
        self, worker: str, held: Mapping[str, tuple[int, Progress | None]], *, lease_s: float
    ) -> Beat:
        answer = await super().beat(worker, held, lease_s=lease_s)
        if answer.lost:
            self.beaten.set()
        return answer


async def test_a_beat_that_is_first_to_see_the_end_does_no_harm() -> None:
    store = TellingBeats()

    async with working(store):
        for id in ("p", "q"):
            await store.add(prediction(id))
            done = await ended(store, id)
            await asyncio.wait_for(store.heard.wait(), 5)

            assert done.status is Status.SUCCEEDED


async def test_a_store_that_is_away_at_the_end_of_a_drain_does_not_break_it() -> None:
    class Away(MemoryStore):
        async def advance(
            self, id: str, move: Move, *, fence: Fence | None = None
        ) -> Prediction | None:
            raise Busy("the database cannot be reached")

    store, gate = Away(), Gate()
    await store.add(prediction())
    options = WorkerOptions(beat_s=0.01, poll_s=0.01, drain_s=0.01, retry_s=0.01)

    async with working(store, family=ToyFamily(steps=10, sleep=gate), options=options) as worker:
        await asyncio.to_thread(gate.reached.wait, 5)
        worker.stop()
        gate.opened.set()

    found = await store.get("p")
    assert found is not None
    assert found.status is Status.RUNNING  # until its lease lapses
