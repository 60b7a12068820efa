"""From a prediction to a job: its prompt checked, its pictures fetched, decoded and checked."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from retouch.domain.edit import BlobImage, Edit, ImageSource, MaskImage, UrlImage
from retouch.domain.errors import BadInput, NotFound
from retouch.domain.failure import MASK_PLACE, FailureKind
from retouch.domain.picture import Picture
from retouch.images.masked import Masked
from retouch.ports import Decoder, Fetcher, Job, Upsampler
from retouch.service.safety import Safety
from retouch.worker import prompt
from retouch.worker.held import Held
from retouch.worker.patience import PatientBlobs


class Inputs:
    """Makes jobs of predictions. `max_pixels` bounds one prediction's pictures together."""

    def __init__(
        self,
        blobs: PatientBlobs,
        fetcher: Fetcher,
        decoder: Decoder,
        safety: Safety,
        upsampler: Upsampler | None,
        *,
        max_pixels: int,
    ) -> None:
        self._blobs, self._fetcher, self._decoder = blobs, fetcher, decoder
        self._safety, self._upsampler = safety, upsampler
        self._max_pixels = max_pixels

    async def job_of(self, held: Held) -> Job:
        """The job, ready for the engine; notes and mask are kept in `held`.

        Raises BadInput, Blocked, EngineFailed when a check fails, and Busy.
        """
        it = held.prediction
        tolerance = it.edit.safety_tolerance
        held.notes = self._safety.summary(tolerance)
        edit, said = await prompt.ready(it.edit, self._safety, self._upsampler)
        held.notes += said
        images = await self._pictures(edit.images)
        await self._safety.check_inputs(images, tolerance)
        if edit.mask is not None:
            held.masked = await self._masked(edit, edit.mask, images)
            images[0] = held.masked.reference
        return Job(held.job_id, edit, tuple(images), it.owner, it.priority, it.deadline, held.facts)

    async def _pictures(self, sources: Sequence[ImageSource]) -> list[Picture]:
        found, left = list[Picture](), self._max_pixels
        for place, source in enumerate(sources):
            with _blaming(place):
                picture = await self._decoder.decode(await self._bytes(source))
            left -= picture.width * picture.height
            if left < 0:
                most = f"{self._max_pixels / 1e6:g} megapixels"
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
                return await self._opened(key, what)
            case _:
                raise TypeError(f"{type(source).__name__} must be resolved before it is queued")

    async def _opened(self, key: str, what: str) -> bytes:
        try:
            return await self._blobs.open(key)
        except NotFound:
            words = f"The input {what} is no longer kept here."
            raise BadInput(FailureKind.UNFETCHED, words) from None


@contextmanager
def _blaming(picture: int) -> Iterator[None]:
    """Say of bad input which picture it is."""
    try:
        yield
    except BadInput as error:
        error.picture = picture
        raise
