"""What is known of uploads, in memory."""

from collections.abc import Sequence

from retouch.ports import Cursor, File, Files


class MemoryFiles(Files):
    """Files in a dictionary."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}

    async def add_file(self, file: File) -> None:
        if file.id in self._files:
            raise ValueError(f"file {file.id!r} exists already")
        self._files[file.id] = file

    async def get_file(self, id: str, *, owner: str | None = None) -> File | None:
        file = self._files.get(id)
        return file if file is not None and owner in (None, file.owner) else None

    async def page_files(
        self, owner: str, *, limit: int, after: Cursor | None = None
    ) -> Sequence[File]:
        place = None if after is None else (after.created_at, after.id)
        kept = [
            file
            for file in self._files.values()
            if file.owner == owner and (place is None or (file.created_at, file.id) < place)
        ]
        return sorted(kept, key=lambda file: (file.created_at, file.id), reverse=True)[:limit]

    async def delete_file(self, id: str, *, owner: str | None = None) -> File | None:
        file = await self.get_file(id, owner=owner)
        return None if file is None else self._files.pop(id)

    async def expired_files(self, now: float, *, limit: int) -> Sequence[File]:
        past = [file for file in self._files.values() if file.expires_at <= now]
        return sorted(past, key=lambda file: (file.expires_at, file.id))[:limit]
