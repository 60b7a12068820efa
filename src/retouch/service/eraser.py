"""Forgets predictions: the bytes first, then what the row says of them.

A crash in between leaves a row that names bytes which are gone; erasing again finishes it.
"""

from collections.abc import Mapping, Sequence

from retouch.domain.errors import NotFound
from retouch.domain.prediction import Cancel, Kept, Prediction
from retouch.ports import Blobs, Store


class Eraser:
    """Any number of them may erase beside each other."""

    def __init__(self, *, store: Store, blobs: Blobs) -> None:
        self._store, self._blobs = store, blobs

    async def erase(self, predictions: Sequence[Prediction], kept: Kept) -> int:
        """Forget this of predictions that are over; how many had something of it."""
        ids = [prediction.id for prediction in predictions]
        for prefix in (prefix.format(id=id) for id in ids for prefix in _PREFIXES[kept]):
            for key in await self._blobs.list(prefix):
                await self._blobs.delete(key)
        return await self._store.erase(ids, kept)

    async def delete(self, id: str, owner: str | None) -> bool:
        """End a prediction if it is not over and forget all of it but that it was.

        False when it was forgotten before. Raises NotFound.
        """
        prediction = await self._store.get(id, owner=owner)
        if prediction is None:
            raise NotFound("prediction", id)
        await self._store.advance(id, Cancel(by="owner" if owner else "operator"))
        return bool(await self.erase([prediction], Kept.RECORD))


_PREFIXES: Mapping[Kept, Sequence[str]] = {
    Kept.INPUTS: ("inputs/{id}",),
    Kept.OUTPUTS: ("{id}",),
    Kept.RECORD: ("inputs/{id}", "{id}"),
}
