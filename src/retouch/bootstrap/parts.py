"""The parts that several processes need: store, blobs, keys, tracer, secrets."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from retouch.domain.errors import NotFound
from retouch.domain.prediction import Prediction
from retouch.folder import DataFolder
from retouch.ports import UNTRACED, Tracer
from retouch.settings import Settings, SettingsError, traced_as

if TYPE_CHECKING:
    from retouch.blobs.store import ObstoreBlobs
    from retouch.service.catalogue import Catalogue
    from retouch.service.eraser import Eraser
    from retouch.service.keys import KeyService
    from retouch.service.words import WordList
    from retouch.store import SqlStore

MIN_SECRET_BYTES = 16


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


CLOCK = SystemClock()


@asynccontextmanager
async def open_store(
    settings: Settings,
    *,
    must_exist: bool = False,
    on_moved: Callable[[Sequence[Prediction]], None] = lambda _: None,
) -> "AsyncIterator[SqlStore]":
    """The prediction table, its schema brought up to date; a new folder is made unless told not.

    `on_moved` is told what this process' moves made.
    Raises NotFound for a data folder that must exist and does not.
    """
    from retouch.store import SqlStore, migrate

    if not settings.database:
        if must_exist and not settings.data.is_dir():
            raise NotFound("data folder", str(settings.data))
        DataFolder(settings.data)
    await migrate(settings.database_url)
    store = SqlStore(settings.database_url, on_moved=on_moved)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


@asynccontextmanager
async def open_keys(settings: Settings, *, must_exist: bool = False) -> "AsyncIterator[KeyService]":
    """The callers' credentials; raises NotFound for a data folder that must exist and does not."""
    from retouch.service.keys import KeyService

    async with open_store(settings, must_exist=must_exist) as store:
        yield KeyService(store, CLOCK)


def open_blobs(settings: Settings) -> "ObstoreBlobs":
    """Where pictures are kept."""
    from retouch.blobs.store import ObstoreBlobs

    return ObstoreBlobs.at(settings.blobs_url)


def open_eraser(settings: Settings, store: "SqlStore") -> "Eraser":
    """The eraser, which removes predictions and their bytes."""
    from retouch.service.eraser import Eraser

    return Eraser(store=store, blobs=open_blobs(settings))


@asynccontextmanager
async def open_tracer() -> AsyncIterator[Tracer]:
    """Records spans if OpenTelemetry's variables say where to; SettingsError without the extra."""
    service = traced_as()
    if service is None:
        yield UNTRACED
        return
    try:
        from retouch.net.tracing import OtelTracer
    except ImportError:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed; "
            "run in retouch's checkout: pip install '.[otel]'"
        ) from None
    tracer = OtelTracer.exporting(service)
    try:
        yield tracer
    finally:
        await asyncio.to_thread(tracer.stop)


def build_catalogue(settings: Settings) -> "Catalogue":
    """Every public model name that the configured weights serve."""
    from retouch.engine.families import may_inpaint
    from retouch.protocols import DIALECTS
    from retouch.service.catalogue import Catalogue

    return Catalogue.build(DIALECTS, settings.weights, inpaints=may_inpaint(settings.weights))


def read_words(settings: Settings) -> "WordList | None":
    """The list that prompts are checked by; SettingsError for one that cannot be read."""
    from retouch.service.words import WordList

    match settings.safety_words:
        case "built-in":
            return WordList.built_in()
        case "none":
            return None
        case path:
            try:
                return WordList.read(Path(path))
            except (OSError, ValueError) as error:
                raise SettingsError(f"setting 'safety_words' is {path!r}: {error}") from None


def read_secrets(settings: Settings, folder: DataFolder) -> tuple[bytes, ...]:
    """Secrets that sign links and webhooks, the newest first: the setting's, or the folder's own.

    Raises SettingsError where there is none, or one that is too short.
    """
    found = tuple(secret.encode() for secret in settings.secret) or folder.secrets()
    if not found or min(map(len, found)) < MIN_SECRET_BYTES:
        place = "the setting 'secret'" if settings.secret else f"the file {folder.path / 'secret'}"
        raise SettingsError(
            f"{place} must hold secrets of at least {MIN_SECRET_BYTES} bytes each; "
            "openssl rand -hex 32 makes one"
        )
    return found
