"""A copy of the data folder that can be served."""

import asyncio
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from retouch.bootstrap.parts import open_blobs, read_secrets
from retouch.domain.errors import NotFound
from retouch.folder import DataFolder
from retouch.settings import Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Backup:
    """The contents of a backup; `to` is a data folder that can be served."""

    to: Path
    database_bytes: int
    files: int
    files_bytes: int


async def back_up(settings: Settings, to: Path) -> Backup:
    """Copy the database as of one moment, every file and the secrets into a new data folder.

    The database comes first, so that it names nothing younger than the files. The folder appears
    when it is whole. Raises SettingsError when it exists, or the database is not SQLite.
    """
    from retouch.store import snapshot

    _check_backup(settings, to)
    draft = to.with_name(f".{to.name}.{os.getpid()}")
    folder = DataFolder(draft)
    try:
        try:
            await asyncio.to_thread(snapshot, settings.database_url, draft / "retouch.db")
        except ValueError as error:
            raise SettingsError(str(error)) from None
        files, files_bytes = await _copy_blobs(settings, draft)
        folder.keep_secrets(read_secrets(settings, DataFolder(settings.data)))
        draft.rename(to)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Backup(to, (to / "retouch.db").stat().st_size, files, files_bytes)


def _check_backup(settings: Settings, to: Path) -> None:
    if to.exists():
        raise SettingsError(f"{to} exists already; name a new folder")
    if not settings.database and not (settings.data / "retouch.db").is_file():
        raise NotFound("data folder", str(settings.data))


async def _copy_blobs(settings: Settings, to: Path) -> tuple[int, int]:
    """How many there were, and their bytes."""
    found, size = open_blobs(settings), 0
    copies = open_blobs(replace(settings, data=to, blobs=""))
    keys = await found.list("")
    copied = 0
    for key in keys:
        try:
            data = await found.open(key)
        except NotFound:  # deleted meanwhile
            continue
        await copies.put(key, data)
        copied, size = copied + 1, size + len(data)
    return copied, size
