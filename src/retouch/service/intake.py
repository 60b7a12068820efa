"""From a parsed submission to a durable, queued prediction.

Pictures sent or uploaded become blobs of the prediction's own before its row exists: a row never
names bytes that are not there, and deleting an upload takes nothing from what was accepted. A
crash in between leaves bytes nobody names. Nothing is fetched here: a URL is the worker's business.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from retouch.domain.edit import BlobImage, FileImage, ImageSource, InlineImage, UrlImage
from retouch.domain.errors import NotFound
from retouch.domain.prediction import Prediction
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
    """Who sent a submission: the owner, the protocol, and a digest of the request."""

    owner: str
    protocol: str
    fingerprint: str


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
    ) -> None:
        self._store, self._files, self._blobs = store, files, blobs
        self._clock, self._entropy = clock, entropy
        self._links, self._catalogue = links, catalogue

    async def accept(self, submission: Submission, sender: Sender) -> Prediction:
        """Queue a submission; it is on disk when this returns.

        A repetition gets the prediction of the first time. Raises NotFound for an unknown model
        or a file the owner does not have.
        """
        entry = self._catalogue.find(submission.model)
        if submission.is_retry:
            twin = await self._store.twin(sender.owner, sender.fingerprint, within_s=TWIN_WITHIN_S)
            if twin is not None:
                return twin
        prediction = await self._prediction(submission, sender)
        await self._store.add(prediction, fingerprint=sender.fingerprint)
        log.info(
            "prediction.accepted",
            prediction=prediction.id,
            owner=prediction.owner,
            protocol=prediction.protocol,
            model=prediction.model,
            weights=entry.weights,
        )
        return prediction

    async def _prediction(self, submission: Submission, sender: Sender) -> Prediction:
        id = draw_id(self._entropy)
        found = [await self._resolve(image, sender.owner) for image in submission.edit.images]
        inline = dict.fromkeys(it.data for it in found if isinstance(it, InlineImage))
        kept = {data: BlobImage(f"inputs/{id}/{n}") for n, data in enumerate(inline)}
        for data, image in kept.items():
            await self._blobs.put(image.key, data)
        images = [kept[it.data] if isinstance(it, InlineImage) else it for it in found]
        edit = submission.edit
        seed = draw_seed(self._entropy) if edit.seed is None else edit.seed
        return Prediction(
            id=id,
            owner=sender.owner,
            protocol=sender.protocol,
            model=submission.model,
            input=_echo(submission.input, kept),
            edit=replace(edit, images=tuple(images), seed=seed),
            created_at=self._clock.now(),
            cost=float(edit.count),
            webhook=submission.webhook,
        )

    async def _resolve(self, image: ImageSource, owner: str) -> ImageSource:
        """A picture as a URL, a blob that stays, or bytes still to be kept."""
        match image:
            case FileImage(file_id):
                return InlineImage(await self._uploaded(file_id, owner))
            case UrlImage(url):
                # A link we signed, such as an earlier result, needs no way through the network.
                key = self._links.key_of(url)
                return image if key is None else BlobImage(key)
            case _:
                return image

    async def _uploaded(self, file_id: str, owner: str) -> bytes:
        file = await self._files.get_file(file_id, owner=owner)
        if file is None or file.expires_at <= self._clock.now():
            raise NotFound("file", file_id)
        try:
            return await self._blobs.open(file.key)
        except NotFound:
            raise NotFound("file", file_id) from None


def _echo(fields: Mapping[str, Any], kept: Mapping[bytes, BlobImage]) -> dict[str, Any]:
    """The input to record: a picture put aside is named by its blob."""

    def swap(value: Any) -> Any:
        if isinstance(value, InlineImage):
            return {"blob": kept[value.data].key}
        return [swap(item) for item in value] if isinstance(value, list) else value

    return {name: swap(value) for name, value in fields.items()}
