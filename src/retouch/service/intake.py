"""From a parsed submission to a durable, queued prediction.

Pictures sent or uploaded become blobs of the prediction's own before its row exists: a row never
names bytes that are not there, and deleting an upload takes nothing from what was accepted. A
crash in between leaves bytes nobody names. Nothing is fetched here: a URL is the worker's business.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from retouch.domain.edit import BlobImage, FileImage, ImageSource, InlineImage, UrlImage
from retouch.domain.errors import (
    Forbidden,
    Full,
    InvalidEdit,
    LongQueue,
    NotFound,
    Throttled,
    TooLarge,
    Violation,
)
from retouch.domain.grant import EVERYTHING, NO_LIMITS, Grant, Limits
from retouch.domain.prediction import Prediction, Status
from retouch.ports import Blobs, Clock, Files, Store
from retouch.protocols.base import Submission
from retouch.service.catalogue import Catalogue
from retouch.service.identity import Entropy, draw_id, draw_seed
from retouch.service.links import Links

log = structlog.get_logger(__name__)

TWIN_WITHIN_S = 300.0
"""How long after a create its repetition by a retrying client is answered with the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The sender of a submission and its grant, the protocol, and a digest of the request."""

    owner: str
    protocol: str
    fingerprint: str
    once: str = ""  # what the caller wants to happen once at most, if it said so
    grant: Grant = EVERYTHING
    request: str = ""  # the id of the HTTP request
    trace: str = ""  # its `traceparent`


def fingerprint(owner: str, path: str, body: bytes, *pieces: bytes) -> str:
    """Equal for a request and its repetition by the same caller; `pieces` is a body in parts."""
    digest = hashlib.sha256(f"{owner}\n{path}\n".encode())
    digest.update(body)
    for piece in pieces:
        digest.update(f"\n{len(piece)}\n".encode())
        digest.update(piece)
    return digest.hexdigest()


class Intake:
    """Accepts submissions."""

    def __init__(
        self,
        *,
        store: Store,
        files: Files,
        blobs: Blobs,
        clock: Clock,
        entropy: Entropy,
        links: Links,
        catalogue: Catalogue,
        limits: Limits = NO_LIMITS,
        max_image_bytes: int | None = None,
        require_room: Callable[[], None] = lambda: None,
    ) -> None:
        """`limits` hold where a key sets none; `require_room` raises Busy on a full disk.

        No picture that came along or was uploaded may be over `max_image_bytes`.
        """
        self._store, self._files, self._blobs = store, files, blobs
        self._clock, self._entropy = clock, entropy
        self._links, self._catalogue = links, catalogue
        self._limits, self._require_room = limits, require_room
        self._max_image_bytes = max_image_bytes

    async def accept(self, submission: Submission, sender: Sender) -> Prediction:
        """Queue a submission; it is on disk when this returns.

        A repetition gets the prediction of the first time. Raises NotFound for an unknown model
        or a file the owner does not have, TooLarge for a picture that no worker would decode,
        InvalidEdit when `once` names another request, Forbidden for a model that is not on the
        key's list, Throttled at a limit of the key, Busy when the disk or the queue is full or
        longer than the caller puts up with.
        """
        entry = self._catalogue.find(submission.model)
        if not sender.grant.allows_model(submission.model):
            raise Forbidden(f"This key is not for the model {submission.model}.")
        earlier = await self._earlier(submission, sender)
        if earlier is not None:
            return earlier
        self._require_room()
        prediction = await self._prediction(submission, sender)
        try:
            await self._store.add(
                prediction,
                fingerprint=sender.fingerprint,
                once=sender.once or None,
                limits=sender.grant.limits(self._limits, max_ahead=submission.max_queued),
            )
        except (ValueError, Throttled, Full, LongQueue):
            await self._drop(prediction)
            # Perhaps the same request, sent twice at once, has just come in.
            earlier = await self._earlier(submission, sender) if sender.once else None
            if earlier is None:
                raise
            return earlier
        log.info(
            "prediction.accepted",
            prediction=prediction.id,
            owner=prediction.owner,
            protocol=prediction.protocol,
            model=prediction.model,
            weights=entry.weights,
        )
        return prediction

    async def _earlier(self, submission: Submission, sender: Sender) -> Prediction | None:
        """The prediction this request made before, if it says that it may have."""
        if sender.once:
            found = await self._store.first(sender.once)
            if found is not None and found[1] != sender.fingerprint:
                rule = "The Idempotency-Key was sent before with another request"
                raise InvalidEdit((Violation("", "idempotency_key_reused", rule),))
            return found[0] if found else None
        if submission.is_retry:
            twin = await self._store.twin(sender.owner, sender.fingerprint, within_s=TWIN_WITHIN_S)
            # Whoever canceled the first wants another now.
            return twin if twin and twin.status is not Status.CANCELED else None
        return None

    async def _drop(self, prediction: Prediction) -> None:
        """Remove the pictures kept for a prediction that was not to be."""
        for image in prediction.edit.sources:
            if isinstance(image, BlobImage) and image.key.startswith(f"inputs/{prediction.id}/"):
                await self._blobs.delete(image.key)

    async def _prediction(self, submission: Submission, sender: Sender) -> Prediction:
        id = draw_id(self._entropy)
        found = [await self._resolve(image, sender.owner) for image in submission.edit.sources]
        inline = dict.fromkeys(it.data for it in found if isinstance(it, InlineImage))
        kept = {data: BlobImage(f"inputs/{id}/{n}") for n, data in enumerate(inline)}
        for data, image in kept.items():
            await self._blobs.put(image.key, data)
        sources = tuple(kept[it.data] if isinstance(it, InlineImage) else it for it in found)
        edit, now = submission.edit, self._clock.now()
        limit_s, patience_s = submission.cancel_after_s, submission.start_within_s
        seed = draw_seed(self._entropy) if edit.seed is None else edit.seed
        return Prediction(
            id=id,
            owner=sender.owner,
            protocol=sender.protocol,
            model=submission.model,
            input=_echo(submission.input, kept),
            edit=replace(edit.with_sources(sources), seed=seed),
            created_at=now,
            cost=float(edit.count),
            priority=submission.priority,
            webhook=submission.webhook,
            deadline=None if limit_s is None else now + limit_s,
            start_by=None if patience_s is None else now + patience_s,
            request=sender.request,
            trace=sender.trace,
            keep_s=sender.grant.keep_s,
        )

    async def _resolve(self, image: ImageSource, owner: str) -> ImageSource:
        """A picture as a URL, a blob that stays, or bytes still to be kept."""
        match image:
            case InlineImage(data):
                self._require_decodable(len(data))
                return image
            case FileImage(file_id):
                return InlineImage(await self._uploaded(file_id, owner))
            case UrlImage(url):
                # A link we signed, such as an earlier result, needs no way through the network.
                key = self._links.key_of(url)
                if key is not None and key.startswith("uploads/"):
                    data = await self._opened(key, key.removeprefix("uploads/"))
                    self._require_decodable(len(data))
                    return InlineImage(data)
                return image if key is None else BlobImage(key)
            case _:
                return image

    async def _uploaded(self, file_id: str, owner: str) -> bytes:
        file = await self._files.get_file(file_id, owner=owner)
        if file is None or file.expires_at <= self._clock.now():
            raise NotFound("file", file_id)
        self._require_decodable(file.size_bytes)
        return await self._opened(file.key, file_id)

    def _require_decodable(self, size_bytes: int) -> None:
        limit = self._max_image_bytes
        if limit is not None and size_bytes > limit:
            raise TooLarge("input image", limit)

    async def _opened(self, key: str, file_id: str) -> bytes:
        try:
            return await self._blobs.open(key)
        except NotFound:
            raise NotFound("file", file_id) from None


def _echo(fields: Mapping[str, Any], kept: Mapping[bytes, BlobImage]) -> dict[str, Any]:
    """The input to record: a picture put aside is named by its blob."""

    def swap(value: Any) -> Any:
        if isinstance(value, InlineImage):
            return {"blob": kept[value.data].key}
        return [swap(item) for item in value] if isinstance(value, list) else value

    return {name: swap(value) for name, value in fields.items()}
