"""Uploads: bytes a caller sends ahead, kept for a day unless told otherwise."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence

from retouch.domain.errors import NotFound
from retouch.images.kind import kind_of
from retouch.ports import Blobs, Clock, Cursor, File, Files
from retouch.protocols.base import Upload
from retouch.service.identity import Entropy, draw_id
from retouch.service.places import Places

NAME_LIMIT = 200


def picture_type(data: bytes) -> str | None:
    """The media type of a picture by its first bytes; None when it is none we know."""
    kind = kind_of(data)
    return kind and f"image/{kind}"


class Uploads:
    """The operations on a caller's own files. Ids of other callers are answered as unknown."""

    def __init__(
        self,
        *,
        files: Files,
        blobs: Blobs,
        clock: Clock,
        entropy: Entropy,
        ttl_s: float = 86_400.0,
        require_room: Callable[[], None] = lambda: None,
    ) -> None:
        """`require_room` raises Busy on a full disk."""
        self._require_room = require_room
        self._files, self._blobs = files, blobs
        self._clock, self._entropy, self._ttl_s = clock, entropy, ttl_s
        self.places = Places(self, files=files, blobs=blobs, clock=clock, entropy=entropy)

    async def add(self, owner: str, upload: Upload, *, id: str = "") -> File:
        """Keep an upload, under an id promised before or a new one: bytes first, then its row."""
        self._require_room()
        id = id or draw_id(self._entropy)
        now = self._clock.now()
        sha256, md5 = await asyncio.to_thread(_checksums, upload.data)
        file = File(
            id=id,
            owner=owner,
            name=_file_name(upload.name),
            content_type=picture_type(upload.data) or _plain_type(upload.content_type),
            size_bytes=len(upload.data),
            sha256=sha256,
            md5=md5,
            key=f"uploads/{id}",
            created_at=now,
            expires_at=now + self._ttl_s,
            metadata=upload.metadata,
        )
        await self._blobs.put(file.key, upload.data)
        await self._files.add_file(file)
        return file

    async def get(self, id: str, owner: str | None) -> File:
        """One file; raises NotFound, also when it has expired."""
        file = await self._files.get_file(id, owner=owner)
        if file is None or file.expires_at <= self._clock.now():
            raise NotFound("file", id)
        return file

    async def page(
        self, owner: str, *, limit: int, after: Cursor | None
    ) -> tuple[Sequence[File], Cursor | None]:
        """A page, newest first, and where the next one starts; None at the end."""
        found = await self._files.page_files(owner, limit=limit + 1, after=after)
        now, page = self._clock.now(), found[:limit]
        following = Cursor(page[-1].created_at, page[-1].id) if len(found) > limit else None
        return [file for file in page if file.expires_at > now], following

    async def delete(self, id: str, owner: str) -> File:
        """Forget a file and its bytes; raises NotFound."""
        file = await self.get(id, owner)
        await self._blobs.delete(file.key)
        await self._files.delete_file(id, owner=owner)
        return file

    async def open(self, file: File) -> bytes:
        """The bytes; raises NotFound."""
        return await self._blobs.open(file.key)


def _checksums(data: bytes) -> tuple[str, str]:
    md5 = hashlib.md5(data, usedforsecurity=False)
    return hashlib.sha256(data).hexdigest(), md5.hexdigest()


def _file_name(name: str) -> str:
    """The last part of a client's file name, without control characters."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:NAME_LIMIT] or "file"


def _plain_type(content_type: str) -> str:
    """A claimed type fit for a header, without parameters."""
    kind = content_type.partition(";")[0].strip().lower()
    main, slash, sub = kind.partition("/")
    fine = slash and all(
        part.replace("-", "").replace(".", "").replace("+", "").isalnum() for part in (main, sub)
    )
    return kind if fine and kind.isascii() else "application/octet-stream"
