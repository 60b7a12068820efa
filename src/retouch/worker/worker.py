"""One worker: claims what its engine has room for, drives it step by step, beats, finishes rows.

Four tasks share one event loop; only the engine's `step` leaves it, for one thread of its own.
The engine is touched between steps only, so a claim or a cancel takes effect at a step boundary.
Everything written is fenced by (worker, attempt): a worker that lost its lease writes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import structlog

from retouch.domain.edit import BlobImage, Edit, ImageSource, MaskImage, UrlImage
from retouch.domain.errors import BadInput, Busy, RetouchError
from retouch.domain.failure import MASK_PLACE, Failure, FailureKind
from retouch.domain.picture import Picture
from retouch.domain.prediction import (
    Fail,
    Fence,
    Move,
    Output,
    Prediction,
    Progress,
    Requeue,
    Succeed,
)
from retouch.images.encode import encode
from retouch.images.masked import Masked
from retouch.ports import (
    UNTRACED,
    Blobs,
    Broken,
    Decoder,
    Engine,
    EngineEvent,
    Fetcher,
    Finished,
    Job,
    Previewed,
    Stepped,
    Store,
    Tracer,
    Upsampler,
)
from retouch.service.safety import Safety
from retouch.worker import prompt
from retouch.worker.trace import RunTrace
from retouch.worker.watchdog import UNWATCHED, Watchdog

T = TypeVar("T")

log = structlog.get_logger(__name__)

STORAGE_UNAVAILABLE = Failure(
    FailureKind.UNAVAILABLE, "The finished picture could not be stored. Please try again."
)
INTERNAL_ERROR = Failure(
    FailureKind.INTERNAL, "The server failed while preparing this prediction. Please try again."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """A worker's clocks, in seconds, and the most that it decodes."""

    lease_s: float = 10.0
    beat_s: float = 0.5
    poll_s: float = 1.0  # between looks at the table when nothing wakes the worker
    drain_s: float = 20.0  # running edits get this long after a stop was asked for
    retry_s: float = 0.5  # pause after the store or the blobs failed
    blob_tries: int = 20
    preview_s: float = 5.0  # a preview that takes longer to store is left out
    max_pixels: int = 100_000_000  # of one prediction's pictures together


@dataclass(slots=True, eq=False)
class Held:
    """A prediction this worker holds, and how far it got."""

    prediction: Prediction
    fence: Fence
    trace: RunTrace
    progress: Progress | None = None
    previews: int = 0  # stored so far
    previewing: asyncio.Task[None] | None = None  # stores the newest, after those before it
    notes: str = ""  # lines of our own for the logs
    masked: Masked | None = None  # what the pictures made are laid over

    @property
    def news(self) -> tuple[int, Progress | None]:
        """The attempt and the progress that a beat publishes."""
        progress = self.progress and replace(self.progress, previews=self.previews)
        return self.fence.attempt, progress

    def logs(self, engine: str) -> str:
        """The engine's lines with ours after the first, which names the seed."""
        first, newline, rest = engine.partition("\n")
        return f"{first}{newline}{self.notes}{rest}"

    async def finished(self, picture: Picture) -> Picture:
        """A picture of the engine's as its caller is to see it."""
        if self.masked is None:
            return picture
        return await asyncio.to_thread(self.masked.restored, picture)

    @property
    def facts(self) -> dict[str, str | int]:
        """The fields of each log line about this prediction."""
        return {
            "prediction": self.prediction.id,
            "attempt": self.fence.attempt,
            "worker": self.fence.worker,
            "request": self.prediction.request,
        }

    @property
    def job_id(self) -> str:
        """The engine's id for it, with the attempt: the id may return while it is dropped."""
        return f"{self.prediction.id}/{self.fence.attempt}"


class _Drained(Exception):
    pass


class Worker:
    """Runs until told to stop. `run` is called once."""

    def __init__(
        self,
        name: str,
        *,
        store: Store,
        blobs: Blobs,
        fetcher: Fetcher,
        decoder: Decoder,
        engine: Engine,
        watchdog: Watchdog = UNWATCHED,
        safety: Safety | None = None,
        upsampler: Upsampler | None = None,
        options: WorkerOptions = WorkerOptions(),
        on_step: Callable[[float], None] = lambda _: None,
        tracer: Tracer = UNTRACED,
    ) -> None:
        """`on_step` is told how many seconds each step of the engine took."""
        self.name = name
        self._on_step, self._tracer = on_step, tracer
        self._safety, self._upsampler = safety or Safety(), upsampler
        self._store, self._blobs = store, blobs
        self._fetcher, self._decoder = fetcher, decoder
        self._engine, self._watchdog, self._options = engine, watchdog, options
        self._held: dict[str, Held] = {}
        self._prepared: list[tuple[Held, Job]] = []  # to add at the next step boundary
        self._dropped: list[Held] = []  # to cancel at the next step boundary
        self._running: dict[str, Held] = {}  # in the engine, by job id
        self._waiting = 0  # claimed and not yet in the engine
        self._stepping = asyncio.Event()  # something for the engine to do
        self._roomier = asyncio.Event()  # the engine may have room again
        self._stopping = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    async def run(self) -> None:
        """Work until `stop`, then drain: finish what runs within `drain_s`, give back the rest."""
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="engine") as thread:
                async with asyncio.TaskGroup() as tasks:
                    claiming = tasks.create_task(self._forever(self._claim, tasks))
                    tasks.create_task(self._forever(self._beat))
                    tasks.create_task(self._step_forever(thread, tasks))
                    await self._stopping.wait()
                    claiming.cancel()
                    await asyncio.wait({claiming})
                    await self._drain()
                    raise _Drained
        except* _Drained:
            log.info("worker.drained", worker=self.name)

    def stop(self) -> None:
        """Ask the worker to drain and return. Safe to call twice."""
        self._stopping.set()

    # -- claiming ---------------------------------------------------------------------------------

    async def _claim(self, tasks: asyncio.TaskGroup) -> None:
        room = self._engine.room() - self._waiting
        if room <= 0:
            self._roomier.clear()
            await self._wait(self._roomier, self._options.poll_s)
            return
        claiming = asyncio.ensure_future(
            self._store.claim(self.name, limit=room, lease_s=self._options.lease_s)
        )
        try:
            claimed = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            await self._return_claimed(claiming)
            raise
        for prediction in claimed:
            self._waiting += 1
            tasks.create_task(self._prepare(self._hold(prediction)))
        if not claimed:
            await self._store.changed(self._options.poll_s)

    async def _return_claimed(self, claiming: Awaitable[Sequence[Prediction]]) -> None:
        """Give back what a claim brings that was under way when the worker was stopped."""
        try:
            for prediction in await claiming:
                await self._give_back(self._hold(prediction))
        except Exception:
            log.exception("worker.turn_failed", turn="_claim")

    def _hold(self, prediction: Prediction) -> Held:
        trace = RunTrace(self._tracer, prediction, self.name)
        held = Held(prediction, Fence(self.name, prediction.attempt), trace)
        self._held[prediction.id] = held
        self._empty.clear()
        return held

    async def _prepare(self, held: Held) -> None:
        prediction = held.prediction
        try:
            tolerance = prediction.edit.safety_tolerance
            held.notes = self._safety.told(tolerance)
            edit, said = await prompt.ready(prediction.edit, self._safety, self._upsampler)
            held.notes += said
            images = await self._pictures(edit.images)
            await self._safety.check_inputs(images, tolerance)
            if edit.mask is not None:
                held.masked = await self._masked(edit, edit.mask, images)
                images[0] = held.masked.reference
        except RetouchError as error:
            self._waiting -= 1
            await self._settle(held, Fail(error.failure, logs=held.notes))
        except Exception:
            log.exception("prediction.prepare_failed", **held.facts)
            self._waiting -= 1
            await self._settle(held, Fail(INTERNAL_ERROR))
        else:
            self._prepared.append((held, _job(held, edit, tuple(images))))
            self._stepping.set()

    async def _pictures(self, sources: Sequence[ImageSource]) -> list[Picture]:
        found, left = list[Picture](), self._options.max_pixels
        for place, source in enumerate(sources):
            with _blaming(place):
                picture = await self._decoder.decode(await self._bytes(source))
            left -= picture.width * picture.height
            if left < 0:
                most = f"{self._options.max_pixels / 1e6:g} megapixels"
                words = f"The input images have more than the {most} allowed together."
                raise BadInput(FailureKind.TOO_MANY_PIXELS, words)
            found.append(picture)
        return found

    async def _masked(self, edit: Edit, mask: MaskImage, images: Sequence[Picture]) -> Masked:
        with _blaming(MASK_PLACE):
            if not images:
                words = "The mask has no input image that it is of."
                raise BadInput(FailureKind.UNREADABLE, words)
            data = await self._bytes(mask.image, "mask")
            decoded = await self._decoder.decode_mask(data, mask.marks)
            return await asyncio.to_thread(Masked.of, images[0], decoded, edit)

    async def _bytes(self, source: ImageSource, what: str = "image") -> bytes:
        match source:
            case UrlImage(url):
                return await self._fetcher.fetch(url, what)
            case BlobImage(key):
                return await self._patiently(partial(self._blobs.open, key))
            case _:
                raise TypeError(f"{type(source).__name__} must be resolved before it is queued")

    # -- the engine -------------------------------------------------------------------------------

    async def _step_forever(self, thread: ThreadPoolExecutor, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._cross_boundary()
            if self._engine.idle:
                self._stepping.clear()
                await self._stepping.wait()
                continue
            with self._watchdog.over(self._engine.expected_s()):
                began = loop.time()
                events = await loop.run_in_executor(thread, self._engine.step)
                self._on_step(loop.time() - began)
            for event in events:
                self._take(event, tasks)

    def _cross_boundary(self) -> None:
        dropped, self._dropped = self._dropped, []
        for held in dropped:
            if self._running.pop(held.job_id, None):
                self._engine.cancel(held.job_id)
        prepared, self._prepared = self._prepared, []
        for held, job in prepared:
            self._waiting -= 1
            if self._held.get(held.prediction.id) is held:
                self._running[job.id] = held
                self._engine.add(job)
                held.trace.enter("steps")
        self._roomier.set()

    def _take(self, event: EngineEvent, tasks: asyncio.TaskGroup) -> None:
        match event:
            case Stepped(id, progress):
                self._running[id].progress = progress
            case Finished(id):
                tasks.create_task(self._finish(self._running.pop(id), event))
            case Previewed(id, picture):
                held = self._running[id]
                storing = self._store_preview(held, picture, held.previewing)
                held.previewing = tasks.create_task(storing)
            case Broken(id, failure, logs):
                held = self._running.pop(id)
                tasks.create_task(self._settle(held, Fail(failure, logs=held.logs(logs))))

    # -- finishing --------------------------------------------------------------------------------

    async def _finish(self, held: Held, done: Finished) -> None:
        prediction, fence = held.prediction, held.fence
        held.trace.enter("store", steps=done.metrics.get("steps", 0.0))
        if held.previewing:  # so that whoever follows sees them before the result
            await held.previewing
        logs, tolerance = held.logs(done.logs), prediction.edit.safety_tolerance
        pictures = [await held.finished(picture) for picture in done.pictures]
        try:
            is_judged = await self._safety.check_results(pictures, tolerance)
        except RetouchError as error:
            await self._settle(held, Fail(error.failure, done.metrics, logs))
            return
        outputs = []
        for n, picture in enumerate(pictures):
            key = f"{prediction.id}/{fence.attempt}/{n}.{prediction.edit.output_format.extension}"
            try:
                output = await self._store_picture(key, picture, prediction)
                outputs.append(replace(output, is_judged=is_judged))
            except Busy:
                log.exception("prediction.store_failed", **held.facts)
                await self._settle(held, Fail(STORAGE_UNAVAILABLE, logs=logs))
                return
        await self._settle(held, Succeed(tuple(outputs), done.metrics, logs))

    async def _store_picture(self, key: str, picture: Picture, prediction: Prediction) -> Output:
        data = await _encoded(picture, prediction.edit)
        await self._patiently(partial(self._blobs.put, key, data))
        kind = prediction.edit.output_format.content_type
        return Output(key, kind, picture.width, picture.height, len(data))

    async def _store_preview(
        self, held: Held, picture: Picture, before: asyncio.Task[None] | None
    ) -> None:
        """Keep a preview and say so at once; one that cannot be kept is left out."""
        if before:
            await before
        prediction = held.prediction
        key = prediction.preview_key(held.previews)
        try:
            async with asyncio.timeout(self._options.preview_s):
                picture = await held.finished(picture)
                await self._safety.check_results([picture], prediction.edit.safety_tolerance)
                await self._blobs.put(key, await _encoded(picture, prediction.edit))
                held.previews += 1
                news, lease_s = {prediction.id: held.news}, self._options.lease_s
                await self._store.beat(self.name, news, lease_s=lease_s)
            if self._held.get(prediction.id) is not held:  # it ended meanwhile
                await self._blobs.delete(key)
        except Exception:
            log.warning("prediction.preview_lost", prediction=prediction.id, exc_info=True)

    async def _patiently(self, verb: Callable[[], Awaitable[T]]) -> T:
        """Try a blob verb again while the store is away: the lease is renewed meanwhile."""
        for left in reversed(range(self._options.blob_tries)):
            try:
                return await verb()
            except Busy:
                if not left:
                    raise
                log.warning("blobs.away", tries_left=left, exc_info=True)
                await asyncio.sleep(self._options.retry_s)
        raise AssertionError("blob_tries must be at least 1")

    async def _settle(self, held: Held, move: Move) -> None:
        """Write the move, however long the store is away, unless the lease is lost meanwhile."""
        prediction = held.prediction
        while self._held.get(prediction.id) is held:
            try:
                moved = await self._store.advance(prediction.id, move, fence=held.fence)
            except Exception:
                log.exception("prediction.settle_failed", **held.facts)
                await asyncio.sleep(self._options.retry_s)
                continue
            name = type(move).__name__.lower()
            log.info("prediction.moved", move=name, won=moved is not None, **held.facts)
            held.trace.end(name, move.failure.error if isinstance(move, Fail) else "")
            self._forget(held)

    # -- beating and draining ---------------------------------------------------------------------

    async def _beat(self) -> None:
        await asyncio.sleep(self._options.beat_s)
        snapshot = dict(self._held)
        if not snapshot:
            return
        beat = await self._store.beat(
            self.name,
            {id: held.news for id, held in snapshot.items()},
            lease_s=self._options.lease_s,
        )
        for id in beat.canceled | beat.lost:
            log.info("prediction.dropped", canceled=id in beat.canceled, **snapshot[id].facts)
            # It may have been claimed anew while the beat was under way: drop that attempt only.
            if self._held.get(id) is snapshot[id]:
                self._drop(snapshot[id])

    async def _drain(self) -> None:
        await self._wait(self._empty, self._options.drain_s)
        for held in list(self._held.values()):
            await self._give_back(held)

    async def _give_back(self, held: Held) -> None:
        """Requeue it with its attempt; when the store is away its lease lapses instead."""
        id, move = held.prediction.id, Requeue("interrupted")
        try:
            await self._store.advance(id, move, fence=held.fence)
        except Exception:
            log.exception("prediction.give_back_failed", **held.facts)
        self._drop(held)

    def _drop(self, held: Held) -> None:
        held.trace.end("dropped")
        self._dropped.append(held)
        self._forget(held)
        self._stepping.set()

    def _forget(self, held: Held) -> None:
        if self._held.get(held.prediction.id) is held:  # a beat may have been first
            del self._held[held.prediction.id]
        if not self._held:
            self._empty.set()

    async def _forever(self, once: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Repeat one turn; a store that fails is tried again after a pause, never fatal."""
        while True:
            try:
                await once(*arguments)
            except Exception:
                log.exception("worker.turn_failed", turn=once.__name__)
                await asyncio.sleep(self._options.retry_s)

    @staticmethod
    async def _wait(event: asyncio.Event, timeout_s: float) -> None:
        try:
            await asyncio.wait_for(event.wait(), timeout_s)
        except TimeoutError:
            return


@contextmanager
def _blaming(picture: int) -> Iterator[None]:
    """Say of bad input which picture it is."""
    try:
        yield
    except BadInput as error:
        error.picture = picture
        raise


async def _encoded(picture: Picture, edit: Edit) -> bytes:
    return await asyncio.to_thread(encode, picture, edit.output_format, edit.output_quality)


def _job(held: Held, edit: Edit, images: tuple[Picture, ...]) -> Job:
    it = held.prediction
    return Job(held.job_id, edit, images, it.owner, it.priority, it.deadline)
