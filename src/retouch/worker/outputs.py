"""What the engine made: checked, encoded and stored, previews too."""

import asyncio
from dataclasses import replace

import structlog

from retouch.domain.edit import Edit
from retouch.domain.errors import Busy, RetouchError
from retouch.domain.failure import Failure, FailureKind
from retouch.domain.picture import Picture
from retouch.domain.prediction import Fail, Output, Prediction, Succeed
from retouch.images.encode import encode
from retouch.ports import Blobs, Finished
from retouch.service.safety import Safety
from retouch.worker.held import Held
from retouch.worker.leases import Leases
from retouch.worker.options import WorkerOptions
from retouch.worker.patience import PatientBlobs

log = structlog.get_logger(__name__)

STORAGE_UNAVAILABLE = Failure(
    FailureKind.UNAVAILABLE, "The finished picture could not be stored. Please try again."
)


class Outputs:
    """Stores the pictures of predictions under their attempt."""

    def __init__(
        self, blobs: Blobs, safety: Safety, leases: Leases, options: WorkerOptions
    ) -> None:
        self._blobs, self._patient = blobs, PatientBlobs(blobs, options)
        self._safety, self._leases, self._options = safety, leases, options

    async def store(self, held: Held, done: Finished) -> Succeed | Fail:
        """Store the pictures; the move that tells of them, or why there are none."""
        held.trace.enter("store", steps=done.metrics.get("steps", 0.0))
        if held.previewing:  # so that whoever follows sees them before the result
            await held.previewing
        prediction, logs = held.prediction, held.logs(done.logs)
        pictures = [await held.finished(picture) for picture in done.pictures]
        try:
            tolerance = prediction.edit.safety_tolerance
            is_judged = await self._safety.check_results(pictures, tolerance)
        except RetouchError as error:
            return Fail(error.failure, done.metrics, logs)
        outputs = []
        for n, picture in enumerate(pictures):
            ending = prediction.edit.output_format.extension
            key = f"{prediction.id}/{held.fence.attempt}/{n}.{ending}"
            try:
                output = await self._store_picture(key, picture, prediction)
            except Busy:
                log.exception("prediction.store_failed", **held.facts)
                return Fail(STORAGE_UNAVAILABLE, logs=logs)
            outputs.append(replace(output, is_judged=is_judged))
        return Succeed(tuple(outputs), done.metrics, logs)

    async def _store_picture(self, key: str, picture: Picture, prediction: Prediction) -> Output:
        data = await _encoded(picture, prediction.edit)
        await self._patient.put(key, data)
        kind = prediction.edit.output_format.content_type
        return Output(key, kind, picture.width, picture.height, len(data))

    async def store_preview(
        self, held: Held, picture: Picture, before: asyncio.Task[None] | None
    ) -> None:
        """Keep a preview and say so at once, after the one before it.

        One that cannot be kept is left out.
        """
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
                await self._leases.publish(held)
            if not self._leases.holds(held):  # it ended meanwhile
                await self._blobs.delete(key)
        except Exception:
            log.warning("prediction.preview_lost", prediction=prediction.id, exc_info=True)


async def _encoded(picture: Picture, edit: Edit) -> bytes:
    return await asyncio.to_thread(encode, picture, edit.output_format, edit.output_quality)
