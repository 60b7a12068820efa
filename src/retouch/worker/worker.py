"""One worker: claims what its engine has room for, has it prepared, stepped and stored, beats.

Four tasks share one event loop: claiming, beating, stepping, and the wait for the stop. What is
claimed, finished or previewed is worked on by tasks of its own. `inputs`, `stepper`, `outputs` and
`leases` do the work; here it is put together.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import structlog

from retouch.domain.errors import RetouchError
from retouch.domain.failure import Failure, FailureKind
from retouch.domain.prediction import Fail, Prediction
from retouch.ports import (
    UNTRACED,
    Blobs,
    Broken,
    Decoder,
    Engine,
    EngineEvent,
    Fetcher,
    Finished,
    Previewed,
    Stepped,
    Store,
    Tracer,
    Upsampler,
)
from retouch.service.safety import Safety
from retouch.worker.held import Held
from retouch.worker.inputs import Inputs
from retouch.worker.leases import Leases
from retouch.worker.options import WorkerOptions
from retouch.worker.outputs import Outputs
from retouch.worker.patience import PatientBlobs
from retouch.worker.stepper import Stepper
from retouch.worker.watchdog import UNWATCHED, Watchdog

log = structlog.get_logger(__name__)

INTERNAL_ERROR = Failure(
    FailureKind.INTERNAL, "The server failed while preparing this prediction. Please try again."
)


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
        options: WorkerOptions = WorkerOptions(),  # noqa: B008  frozen
        on_step: Callable[[float], None] = lambda _: None,
        tracer: Tracer = UNTRACED,
    ) -> None:
        """`on_step` is told how many seconds each step of the engine took."""
        self.name = name
        self._store, self._options = store, options
        safety = safety or Safety()
        patient = PatientBlobs(blobs, options)
        self._leases = Leases(name, store, tracer, options)
        self._inputs = Inputs(
            patient, fetcher, decoder, safety, upsampler, max_pixels=options.max_pixels
        )
        self._stepper = Stepper(engine, self._leases, watchdog, on_step)
        self._outputs = Outputs(blobs, safety, self._leases, options)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`, then drain: finish what runs within `drain_s`, give back the rest."""
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="engine") as thread:
                async with asyncio.TaskGroup() as tasks:
                    claiming = tasks.create_task(self._forever(self._claim, tasks))
                    tasks.create_task(self._forever(self._beat))
                    tasks.create_task(self._stepper.run(thread, partial(self._take, tasks)))
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

    async def _claim(self, tasks: asyncio.TaskGroup) -> None:
        room = self._stepper.room()
        if room <= 0:
            await self._stepper.wait_for_room(self._options.poll_s)
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
            self._stepper.expect()
            tasks.create_task(self._prepare(self._leases.hold(prediction)))
        if not claimed:
            await self._store.changed(self._options.poll_s)

    async def _return_claimed(self, claiming: Awaitable[Sequence[Prediction]]) -> None:
        """Give back what a claim brings that was under way when the worker was stopped."""
        try:
            for prediction in await claiming:
                await self._give_back(self._leases.hold(prediction))
        except Exception:
            log.exception("worker.turn_failed", turn="_claim")

    async def _prepare(self, held: Held) -> None:
        try:
            job = await self._inputs.job_of(held)
        except RetouchError as error:
            self._stepper.expect_no_more()
            await self._leases.settle(held, Fail(error.failure, logs=held.notes))
        except Exception:
            log.exception("prediction.prepare_failed", **held.facts)
            self._stepper.expect_no_more()
            await self._leases.settle(held, Fail(INTERNAL_ERROR))
        else:
            self._stepper.add(held, job)

    def _take(self, tasks: asyncio.TaskGroup, held: Held, event: EngineEvent) -> None:
        match event:
            case Stepped(_, progress):
                held.progress = progress
            case Previewed(_, picture):
                storing = self._outputs.store_preview(held, picture, held.previewing)
                held.previewing = tasks.create_task(storing)
            case Finished():
                tasks.create_task(self._finish(held, event))
            case Broken(_, failure, logs):
                move = Fail(failure, logs=held.logs(logs))
                tasks.create_task(self._leases.settle(held, move))

    async def _finish(self, held: Held, done: Finished) -> None:
        await self._leases.settle(held, await self._outputs.store(held, done))

    async def _beat(self) -> None:
        await asyncio.sleep(self._options.beat_s)
        for held in await self._leases.beat():
            self._stepper.drop(held)

    async def _drain(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._leases.empty.wait(), self._options.drain_s)
        for held in self._leases.all():
            await self._give_back(held)

    async def _give_back(self, held: Held) -> None:
        await self._leases.give_back(held)
        self._stepper.drop(held)

    async def _forever(self, once: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Repeat one turn; a store that fails is tried again after a pause, never fatal."""
        while True:
            try:
                await once(*arguments)
            except Exception:
                log.exception("worker.turn_failed", turn=once.__name__)
                await asyncio.sleep(self._options.retry_s)
