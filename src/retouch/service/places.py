"""Uploads in two steps: a place is reserved first, its bytes follow, whole or in parts.

A place, like each part, is a row among the files that is nobody's, so no list shows it; what is
never finished expires with it. Whoever holds a place's id may fill it, once: the first bytes stay.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import md5
from typing import TYPE_CHECKING

from retouch.domain.errors import InvalidEdit, NotFound, TooLarge, Violation
from retouch.ports import Blobs, Clock, File, Files
from retouch.protocols.base import Upload
from retouch.service.identity import Entropy, draw_id

if TYPE_CHECKING:
    from retouch.service.files import Uploads

TTL_S = 3600.0
"""How long after its reservation a place can be filled."""
NOBODY = ""


class Places:
    """Reserves and fills."""

    def __init__(
        self, uploads: "Uploads", *, files: Files, blobs: Blobs, clock: Clock, entropy: Entropy
    ) -> None:
        self._uploads, self._files, self._blobs = uploads, files, blobs
        self._clock, self._entropy = clock, entropy

    async def reserve(self, owner: str, upload: Upload) -> tuple[str, str]:
        """A new place's id, and the id its file will have. The upload has no bytes yet."""
        id, file_id = draw_id(self._entropy), draw_id(self._entropy)
        metadata = {"owner": owner, "file": file_id}
        if upload.size_bytes is not None:
            metadata["size"] = str(upload.size_bytes)
        await self._files.add_file(self._row(id, upload.name, upload.content_type, metadata))
        return id, file_id

    async def fill(self, id: str, data: bytes) -> File:
        """Keep the bytes, and what they are now.

        Raises NotFound for a place that is gone, InvalidEdit for another size than announced.
        """
        place = await self._place(id)
        owner, file_id = place.metadata["owner"], place.metadata["file"]
        kept = await self._files.get_file(file_id)
        if kept is not None:
            return kept
        size = place.metadata.get("size", str(len(data)))
        if size != str(len(data)):
            rule = f"{size} bytes were announced and {len(data)} came"
            raise InvalidEdit((Violation("", "size_mismatch", rule),))
        upload = Upload(name=place.name, content_type=place.content_type, data=data)
        return await self._uploads.add(owner, upload, id=file_id)

    async def fill_part(self, id: str, number: int, data: bytes) -> str:
        """Keep a part, in place of an earlier one of its number; its tag. Raises NotFound."""
        await self._place(id)
        tag = md5(data, usedforsecurity=False).hexdigest()
        row = self._row(f"{id}-{number}", "part", "application/octet-stream", {})
        await self._blobs.put(row.key, data)
        await self._files.delete_file(row.id)
        await self._files.add_file(replace(row, size_bytes=len(data), md5=tag))
        return tag

    async def complete(self, id: str, numbers: Sequence[int], limit_bytes: int) -> File:
        """Join the parts, in the order of their numbers; raises NotFound, TooLarge."""
        place = await self._place(id)
        kept = await self._files.get_file(place.metadata["file"])
        if kept is not None:
            return kept
        parts = [await self._part(id, number) for number in sorted(set(numbers))]
        if sum(part.size_bytes for part in parts) > limit_bytes:
            raise TooLarge("file", limit_bytes)
        file = await self.fill(id, b"".join([await self._blobs.open(it.key) for it in parts]))
        for part in parts:
            await self._blobs.delete(part.key)
            await self._files.delete_file(part.id)
        return file

    async def _place(self, id: str) -> File:
        place = await self._files.get_file(id, owner=NOBODY)
        if place is None or place.expires_at <= self._clock.now() or "file" not in place.metadata:
            raise NotFound("file", id)
        return place

    async def _part(self, id: str, number: int) -> File:
        part = await self._files.get_file(f"{id}-{number}", owner=NOBODY)
        if part is None:
            raise NotFound("part", str(number))
        return part

    def _row(self, id: str, name: str, content_type: str, metadata: dict[str, str]) -> File:
        now = self._clock.now()
        return File(
            id=id,
            owner=NOBODY,
            name=name,
            content_type=content_type,
            size_bytes=0,
            sha256="",
            md5="",
            key=f"uploads/{id}",
            created_at=now,
            expires_at=now + TTL_S,
            metadata=metadata,
        )
