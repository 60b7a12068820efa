"""Blobs on obstore: a local folder, memory, or a bucket, behind the same verbs.

obstore's local store neither syncs what it writes nor limits who may read it, so on a folder we
write ourselves: a whole temporary file, synced, renamed over the key, and its folders synced.
"""

import os
import re
import secrets
from asyncio import to_thread
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from retouch.domain.errors import Busy, NotFound

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_PARTIAL = re.compile(r"#[0-9]+$")
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


class ObstoreBlobs:
    """The `Blobs` port.

    A key is one or more parts joined by `/`; a part is letters, digits, `_`, `-` and dots, does
    not begin with a dot and is at most 200 long. Any other key is a ValueError. Every verb raises
    Busy when the store cannot be reached or is full.
    """

    def __init__(self, store: "ObjectStore", folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder

    @classmethod
    def at(cls, url: str, **options: Any) -> "ObstoreBlobs":
        """The store at `file:///folder`, `memory:///` or `s3://bucket/prefix`.

        A missing folder is made, for its owner alone. `options` (endpoint, region, retry_config,
        ...) go to obstore's store of that kind.
        """
        parts = urlsplit(url)
        if parts.scheme != "file":
            return cls(from_url(url, **options))
        folder = Path(unquote(parts.path))
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync(folder.parent)
        return cls(LocalStore(folder), folder)

    async def put(self, key: str, data: bytes) -> None:
        """Write and sync. An existing key is replaced whole."""
        _check(key)
        with _translated():
            if self._folder is None:
                await obstore.put_async(self._store, key, data)
            else:
                await to_thread(_write, self._folder, key, data)

    async def open(self, key: str) -> bytes:
        """The bytes; raises NotFound."""
        _check(key)
        with _translated(key):
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async())

    async def size(self, key: str) -> int:
        """The length in bytes; raises NotFound."""
        _check(key)
        with _translated(key):
            return (await obstore.head_async(self._store, key))["size"]

    async def delete(self, key: str) -> None:
        """Remove; a missing key is fine. Folders stay."""
        _check(key)
        with suppress(NotFound), _translated(key):
            if self._folder is not None and (self._folder / key).is_dir():
                return
            await obstore.delete_async(self._store, key)

    async def list(self, prefix: str) -> Sequence[str]:
        """Every key under a prefix of whole parts (`a` or `a/` finds `a/b`, not `ab`), sorted.

        The empty prefix lists everything.
        """
        prefix = prefix.removesuffix("/")
        if prefix:
            _check(prefix)
        with _translated():
            found = await obstore.list(self._store, prefix or None).collect_async()
        return sorted(meta["path"] for meta in found)

    async def written_before(self, when: float) -> AsyncIterator[Sequence[str]]:
        """Every key last written before a time (UTC seconds), in batches and any order."""
        with _translated():
            async for batch in obstore.list(self._store):
                yield [it["path"] for it in batch if it["last_modified"].timestamp() < when]

    async def tidy(self, before: float) -> None:
        """Remove what writes that were cut short before a time left behind: a folder's alone."""
        if self._folder is not None:
            with _translated():
                await to_thread(_remove_partials, self._folder, before)


def _check(key: str) -> None:
    if not all(_PART.fullmatch(part) for part in key.split("/")) or len(key) > 900:
        raise ValueError(f"blob key {key[:100]!r} is not made of plain parts joined by '/'")


@contextmanager
def _translated(key: str | None = None) -> Iterator[None]:
    """The store's errors in our words; its own name paths and addresses.

    Without a key, what is missing is the bucket or the folder itself.
    """
    try:
        yield
    except (OSError, BaseError) as error:
        if key is not None and isinstance(error, FileNotFoundError):
            raise NotFound("blob", key) from None
        raise Busy("the file store cannot be used now") from error


def _write(folder: Path, key: str, data: bytes) -> None:
    path = folder / key
    _make(path.parent, folder)
    # obstore lists no file whose name ends in # and digits, so a crash leaves no half blob.
    partial = path.with_name(f"{path.name}#{secrets.randbits(62)}")
    try:
        _write_synced(partial, data)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    # Every folder up to ours: another call may have made one and not synced it yet.
    for parent in path.parents:
        _sync(parent)
        if parent == folder:
            return


def _write_synced(path: Path, data: bytes) -> None:
    # Without a file object: each of its calls lets go of Python's lock, for which a busy server's
    # threads then wait.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_partials(folder: Path, before: float) -> None:
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names if _PARTIAL.search(name)):
            with suppress(FileNotFoundError):  # it became whole meanwhile
                if path.lstat().st_mtime < before:
                    path.unlink()


def _make(folder: Path, stop: Path) -> None:
    if folder == stop:
        return
    with suppress(FileExistsError):
        try:
            folder.mkdir(mode=0o700)
        except FileNotFoundError:
            _make(folder.parent, stop)
            folder.mkdir(mode=0o700)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
