"""The composition root: the only module that knows every concrete class.

Builds the ports from `Settings` and hands them to the services, the web app and the worker.
Nothing here imports torch; a family does, in the process that loads it.
"""

import asyncio
import os
import platform
import secrets
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import structlog

from retouch import __version__, logs
from retouch.domain.edit import Edit
from retouch.domain.errors import BadInput, EngineFailed, NotFound
from retouch.domain.grant import Limits
from retouch.domain.picture import Picture
from retouch.domain.prediction import Kept, Prediction
from retouch.folder import DataFolder
from retouch.ports import UNTRACED, Broken, Family, Finished, Job, Stepped, Tracer, Upsampler
from retouch.service.safety import Safety
from retouch.settings import Settings, SettingsError, traced_as

if TYPE_CHECKING:
    from retouch.blobs.store import ObstoreBlobs
    from retouch.engine.calibration import Calibration
    from retouch.engine.engine import StepEngine
    from retouch.engine.families.counting import Need
    from retouch.engine.families.source import Repo
    from retouch.net.hub import Hub, Pulled, RemoteFile
    from retouch.service.catalogue import Catalogue
    from retouch.service.disk import DiskReserve
    from retouch.service.eraser import Eraser
    from retouch.service.keys import KeyService
    from retouch.service.meters import WebMeters
    from retouch.store import SqlStore
    from retouch.web.server import WebServer
    from retouch.web.services import Services
    from retouch.worker.supervisor import Supervisor

log = structlog.get_logger(__name__)

PRELOAD = {"toy": "retouch.engine.families.toy"}
"""What the worker's fork server imports ahead of time for some weights: everything slow."""

MIN_SECRET_BYTES = 16

PRELOAD_DEFAULT = "retouch.engine.families.flux1"


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


CLOCK = SystemClock()


# -- ports -----------------------------------------------------------------------------------------


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
async def open_keys(settings: Settings) -> "AsyncIterator[KeyService]":
    """The callers' credentials."""
    from retouch.service.keys import KeyService

    async with open_store(settings) as store:
        yield KeyService(store, CLOCK)


def open_blobs(settings: Settings) -> "ObstoreBlobs":
    """Where pictures are kept."""
    from retouch.blobs.store import ObstoreBlobs

    return ObstoreBlobs.at(settings.blobs_url)


def open_eraser(settings: Settings, store: "SqlStore") -> "Eraser":
    """What forgets predictions."""
    from retouch.service.eraser import Eraser

    return Eraser(store=store, blobs=open_blobs(settings))


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds; `to` is a data folder that can be served."""

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
        folder.keep_secrets(_secrets(settings, DataFolder(settings.data)))
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
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed: "
            "pip install 'retouch[otel]'"
        ) from None
    tracer = OtelTracer.exporting(service)
    try:
        yield tracer
    finally:
        await asyncio.to_thread(tracer.stop)


def build_catalogue(settings: Settings) -> "Catalogue":
    """Every public model name, served by the configured weights."""
    from retouch.protocols import DIALECTS
    from retouch.service.catalogue import Catalogue

    return Catalogue.build(DIALECTS, settings.weights)


def build_engine(
    settings: Settings, measure: "Callable[[Family], Calibration] | None" = None
) -> "StepEngine":
    """The engine with its weights loaded; imports torch. Raises WeightsError.

    `measure` finds out how fast the device is; without it the engine learns that from its work.
    """
    from retouch.engine.calibration import Calibration
    from retouch.engine.engine import StepEngine
    from retouch.engine.families import load_family, load_memory
    from retouch.engine.families.source import Repo, source_of
    from retouch.engine.memory import NoMemory
    from retouch.engine.scheduler import Policy

    if settings.weights != "toy" and isinstance(source := source_of(settings.weights), Repo):
        _check_licence(settings, source)
    family = load_family(
        settings.weights,
        device=settings.device,
        dtype=settings.dtype,
        transformer=Path(settings.transformer) if settings.transformer else None,
        loras=Path(settings.loras) if settings.loras else None,
        cache_bytes=settings.cache_bytes,
        fast_tolerance=settings.fast_tolerance,
    )
    memory = load_memory(settings.weights, device=settings.device) or NoMemory()
    learned = Calibration() if measure is None else measure(family)
    memory.trim()
    free_bytes = memory.free_bytes()
    policy = Policy(
        token_budget=settings.token_budget or learned.token_budget or Policy().token_budget,
        memory_bytes=settings.memory_bytes or (free_bytes and free_bytes * 9 // 10),
    )
    log.info("engine.ready", weights=family.name, policy=policy, pace_s=learned.pace.seconds)
    return StepEngine(
        family,
        clock=CLOCK,
        max_jobs=settings.max_jobs,
        policy=policy,
        pace=learned.pace,
        memory=memory,
    )


# -- weights ---------------------------------------------------------------------------------------


def pull_weights(
    settings: Settings, weights: str, *, accept_licence: bool, show: "Callable[[Pulled], None]"
) -> Path:
    """Download a repository's components; the folder they are in. Raises HubError, WeightsError."""
    from retouch.net.hub import Hub

    repo = _repository(weights)
    _check_licence(settings, repo, accept=accept_licence)
    hub = Hub()
    files = _wanted_files(hub, repo)
    return hub.pull(repo.id, files, repo.revision, show)


def plan_weights(weights: str) -> "tuple[str, list[Need]]":
    """Where weights are and what each component takes, read from headers alone.

    Of a repository that is not on this machine only the headers are fetched. Raises HubError,
    WeightsError.
    """
    from retouch.engine.families import read_json
    from retouch.engine.families.counting import Need, components, needs
    from retouch.engine.families.source import folder_of, source_of
    from retouch.net.hub import Hub

    source = source_of(weights)
    hub = Hub()
    if isinstance(source, Path) or hub.cached(source.id, "model_index.json", source.revision):
        folder = folder_of(source)
        return str(folder), needs(folder, components(read_json(folder / "model_index.json")))
    counts: dict[str, list[Mapping[str, int]]] = {}
    for file in _wanted_files(hub, source):
        if file.path.endswith(".safetensors"):
            found = hub.counts(source.id, file.path, source.revision)
            counts.setdefault(file.path.partition("/")[0], []).append(found)
    return f"{source.id}, not downloaded", [Need.of(name, it) for name, it in counts.items()]


def _repository(weights: str) -> "Repo":
    from retouch.engine.families.source import WeightsError, source_of

    source = source_of(weights)
    if isinstance(source, Path):
        raise WeightsError(f"{weights} is on this machine already, at {source}")
    return source


def _wanted_files(hub: "Hub", repo: "Repo") -> "list[RemoteFile]":
    from retouch.engine.families import read_json
    from retouch.engine.families.counting import components, wanted
    from retouch.net.hub import NoSuchRepository

    files = {file.path: file for file in hub.files(repo.id, repo.revision)}
    if "model_index.json" not in files:
        raise NoSuchRepository(f"{repo.id} has no model_index.json: it is not in diffusers' layout")
    folder = hub.pull(repo.id, [files["model_index.json"]], repo.revision)
    names = components(read_json(folder / "model_index.json"))
    return [files[path] for path in wanted(files, names)]


def _check_licence(settings: Settings, repo: "Repo", *, accept: bool = False) -> None:
    """Raise WeightsError for a licence that binds and was not acknowledged in this data folder."""
    from retouch.engine.families.source import WeightsError

    known = repo.known
    if known is None or not known.must_accept:
        return
    folder = DataFolder(settings.data)
    if repo.id in folder.accepted():
        return
    if not accept:
        raise WeightsError(
            f"{repo.id} is under the licence {known.licence!r}, which binds whoever deploys it: "
            f"read {known.licence_url}, then run: retouch models pull {repo.id} --accept-licence"
        )
    folder.accept(repo.id)


# -- the web process -------------------------------------------------------------------------------


def serve(settings: Settings, *, with_worker: bool) -> int:
    """Run the web process, and one supervised worker beside it, until SIGTERM or SIGINT.

    Prints one line when it answers. Raises Busy when another server uses the data folder.
    """
    import uvloop

    logs.configure(settings.log_level, settings.log_format, for_good=True)
    folder = DataFolder(settings.data)
    with folder.served() if with_worker else nullcontext():
        uvloop.run(_serve(settings, folder, with_worker=with_worker))
    return 0


async def _serve(settings: Settings, folder: DataFolder, *, with_worker: bool) -> None:
    from retouch.net.courier import GuardedCourier
    from retouch.protocols import DIALECTS
    from retouch.service.deliveries import Deliveries
    from retouch.service.janitor import Janitor
    from retouch.service.leases import LapsedLeases
    from retouch.service.meters import WebMeters
    from retouch.service.periodic import Periodic
    from retouch.service.readiness import Readiness
    from retouch.service.reconcile import Reconciler
    from retouch.web.app import WebOptions, create_app
    from retouch.web.server import WebServer, listen

    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(open_tracer())
        meters = WebMeters()
        store = await stack.enter_async_context(open_store(settings, on_moved=meters.moved))
        services = replace(_services(settings, folder, store, meters), tracer=tracer)
        await _refuse_open_bind(settings, services)
        listening = stack.enter_context(listen(settings.host, settings.port))
        supervisor = _supervisor(settings, folder, store) if with_worker else None
        readiness = Readiness(
            roster=store,
            blobs=services.blobs,
            require_room=_disk(settings).require_room,
            own_worker=_local_name(folder) if with_worker else "",
            is_own_up=lambda: supervisor is not None and supervisor.is_ready,
        )
        services = replace(services, ready=readiness.missing)
        janitor = Janitor(
            store=store,
            files=store,
            blobs=services.blobs,
            clock=CLOCK,
            keep_s=_keep_s(settings),
        )
        leases = LapsedLeases(store, CLOCK, lease_s=settings.lease_s)
        reconciler = Reconciler(store=store, files=store, blobs=services.blobs, clock=CLOCK)
        deliveries = Deliveries(
            store=store,
            outbox=store,
            dialects=DIALECTS,
            views=services.views,
            signer=services.signer,
            courier=GuardedCourier(settings.allow_webhook),
            clock=CLOCK,
            random=secrets.SystemRandom().random,
            name=_local_name(folder) if with_worker else "",
            on_tried=meters.tried,
            tracer=tracer,
        )
        for service in (
            deliveries,
            Periodic("lapsed leases", leases.turn, every_s=leases.every_s),
            Periodic("orphaned blobs", reconciler.turn, every_s=86_400.0),
            Periodic("passed deadlines", store.expire, every_s=1.0),
            Periodic("expired files", janitor.sweep, every_s=60.0),
            Periodic("old previews", janitor.drop_previews, every_s=30.0),
        ):
            await service.start()
            stack.push_async_callback(service.stop)
        options = WebOptions(
            public_url=settings.public_url,
            trust_forwarded=settings.trust_forwarded,
            max_body_bytes=settings.max_body_bytes,
            host=settings.host,
            allowed_hosts=settings.allowed_hosts,
        )
        server = WebServer(create_app(services, options), listening, on_ready=_announce)
        await _run_until_told(server, supervisor, services, settings.drain_s)


async def _run_until_told(
    server: "WebServer", supervisor: "Supervisor | None", services: "Services", drain_s: float
) -> None:
    """Serve until a signal. Then nothing new is taken, and the worker drains before the web
    process goes, so that pollers still get its results; without one, held answers have `drain_s`.
    """
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.run_until_exit())
        serving.add_done_callback(lambda _: told.set())
        if supervisor is not None:
            await supervisor.start()
        await told.wait()
        services.doors.close()
        log.info("server.draining")
        if supervisor is not None:
            await supervisor.stop()
        else:
            await services.predictions.unwatched(drain_s)
        services.predictions.release()
        server.should_exit = True


def _services(
    settings: Settings, folder: DataFolder, store: "SqlStore", meters: "WebMeters"
) -> "Services":
    from retouch.net.sealing import WebhookSigner
    from retouch.net.signing import LinkSigner
    from retouch.service.eraser import Eraser
    from retouch.service.files import Uploads
    from retouch.service.identity import Tickets
    from retouch.service.intake import Intake
    from retouch.service.keys import KeyService
    from retouch.service.links import Links, Views
    from retouch.service.predictions import Predictions
    from retouch.web.services import Services

    secret, *older = _secrets(settings, folder)
    blobs, catalogue = open_blobs(settings), build_catalogue(settings)
    disk = _disk(settings)
    links = Links(LinkSigner(secret, *older), CLOCK, ttl_s=settings.link_ttl_s)
    tickets = Tickets(secret, *older)
    return Services(
        catalogue=catalogue,
        intake=Intake(
            store=store,
            files=store,
            blobs=blobs,
            clock=CLOCK,
            entropy=secrets.token_bytes,
            links=links,
            catalogue=catalogue,
            limits=_limits(settings),
            require_room=disk.require_room,
        ),
        predictions=Predictions(store),
        uploads=Uploads(
            files=store,
            blobs=blobs,
            clock=CLOCK,
            entropy=secrets.token_bytes,
            ttl_s=settings.file_ttl_s,
            require_room=disk.require_room,
        ),
        eraser=Eraser(store=store, blobs=blobs),
        keys=KeyService(store, CLOCK),
        blobs=blobs,
        links=links,
        views=Views(links, tickets),
        tickets=tickets,
        signer=WebhookSigner(secret),
        roster=store,
        meters=meters,
    )


def _disk(settings: Settings) -> "DiskReserve":
    from retouch.service.disk import DiskReserve

    return DiskReserve(partial(_free_bytes, _disks(settings)), settings.min_free_bytes)


def _secrets(settings: Settings, folder: DataFolder) -> tuple[bytes, ...]:
    found = tuple(secret.encode() for secret in settings.secret) or folder.secrets()
    if not found or min(map(len, found)) < MIN_SECRET_BYTES:
        raise SettingsError(f"every secret must have at least {MIN_SECRET_BYTES} bytes")
    return found


def _disks(settings: Settings) -> Sequence[Path]:
    """A folder on each of the disks we write to."""
    blobs = urlsplit(settings.blobs_url)
    folders = [settings.data, *([Path(unquote(blobs.path))] if blobs.scheme == "file" else [])]
    return tuple({folder.stat().st_dev: folder for folder in folders}.values())


def _free_bytes(folders: Sequence[Path]) -> int:
    """On the fullest of these."""
    return min(shutil.disk_usage(folder).free for folder in folders)


def _keep_s(settings: Settings) -> dict[Kept, float]:
    spans = {
        Kept.INPUTS: settings.keep_inputs_s,
        Kept.OUTPUTS: settings.keep_outputs_s,
        Kept.RECORD: settings.keep_record_s,
    }
    return {kept: span_s for kept, span_s in spans.items() if span_s}


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_in_flight=settings.max_in_flight or None,
        rate=settings.rate,
        max_queued=settings.max_queued or None,
    )


def _supervisor(settings: Settings, folder: DataFolder, store: "SqlStore") -> "Supervisor":
    from retouch.worker.process import nursery, spawn
    from retouch.worker.supervisor import Supervisor

    name = _local_name(folder)
    preload = PRELOAD.get(settings.weights, PRELOAD_DEFAULT)
    return Supervisor(
        partial(spawn, nursery(preload), work, settings, name),
        lambda loss: store.release(name, loss=loss),
        clock=CLOCK,
        grace_s=settings.drain_s + 5,
    )


def _local_name(folder: DataFolder) -> str:
    """One name for every worker and sender this folder ever has: it frees what a dead one held."""
    return f"serve-{folder.node()}"


async def _refuse_open_bind(settings: Settings, services: "Services") -> None:
    """Raise SettingsError for an address others can reach while there is no key."""
    from retouch.web.auth import is_loopback

    if is_loopback(settings.host) or await services.keys.any_created():
        return
    raise SettingsError(
        f"{settings.host} can be reached from other machines and no key exists, so anybody could "
        f"use this server. Make one first:\n\n"
        f"    retouch keys create NAME --data {settings.data}\n\n"
        f"or bind to this machine only: --host 127.0.0.1"
    )


def _announce(address: str) -> None:
    print(f"retouch {__version__} is ready at {address}", flush=True)


# -- the worker ------------------------------------------------------------------------------------


def work(settings: Settings, name: str = "", ready: "Connection[None, None] | None" = None) -> int:
    """Run one worker in this process until SIGTERM, or until its parent dies."""
    logs.configure(settings.log_level, settings.log_format, for_good=True)
    name = name or f"{platform.node()}-{os.getpid()}"
    engine = build_engine(settings, partial(_measure, settings))
    log.info("worker.loaded", worker=name, weights=engine.family.name)
    safety = build_safety(settings)
    asyncio.run(_work(settings, name, engine, safety, ready))
    return 0


def _measure(settings: Settings, family: Family) -> "Calibration":
    from retouch.engine.calibration import calibrate
    from retouch.worker.watchdog import Watchdog

    with Watchdog(settings.step_floor_s).over(None):
        return calibrate(family, CLOCK)


async def _work(
    settings: Settings,
    name: str,
    engine: "StepEngine",
    safety: Safety,
    ready: "Connection[None, None] | None",
) -> None:
    from retouch.images.decode import Limits
    from retouch.images.process import ProcessDecoder
    from retouch.net.fetch import FetchPolicy, GuardedFetcher
    from retouch.service.enlistment import Enlistment
    from retouch.service.meters import WorkerMeters
    from retouch.worker.process import run_until_told
    from retouch.worker.watchdog import Watchdog
    from retouch.worker.worker import Worker, WorkerOptions

    limits = Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    meters = WorkerMeters(engine.free_bytes)
    decoder = ProcessDecoder(
        limits, memory_bytes=settings.decode_memory_bytes, on_death=meters.decoder_died
    )
    policy = FetchPolicy(
        allow=settings.allow_fetch,
        max_bytes=settings.max_image_bytes,
        timeout_s=settings.fetch_timeout_s,
    )
    options = WorkerOptions(
        lease_s=settings.lease_s, beat_s=settings.beat_s, drain_s=settings.drain_s
    )
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(open_tracer())
        store = await stack.enter_async_context(open_store(settings, on_moved=meters.moved))
        enlistment = Enlistment(name, roster=store, meters=meters)
        await enlistment.start()
        stack.push_async_callback(enlistment.stop)
        stack.push_async_callback(decoder.stop)
        worker = Worker(
            name,
            store=store,
            blobs=open_blobs(settings),
            fetcher=GuardedFetcher(policy),
            decoder=decoder,
            engine=engine,
            watchdog=Watchdog(settings.step_floor_s),
            safety=safety,
            upsampler=build_upsampler(settings),
            options=options,
            on_step=meters.stepped,
            tracer=tracer,
        )
        await run_until_told(worker, partial(ready.send, None) if ready else _nothing)


def _nothing() -> None:
    return


def build_safety(settings: Settings) -> Safety:
    """The configured checks; imports torch if one is a classifier.

    Raises SettingsError for a list of words that cannot be read, and WeightsError.
    """
    from retouch.service.words import WordList

    match settings.safety_words:
        case "built-in":
            prompts: WordList | None = WordList.built_in()
        case "none":
            prompts = None
        case path:
            try:
                prompts = WordList.read(Path(path))
            except (OSError, ValueError) as error:
                raise SettingsError(f"setting 'safety_words' is {path!r}: {error}") from None
    if not settings.safety_classifier:
        return Safety(prompts)
    from retouch.engine.families.classifier import ImageClassifier

    return Safety(prompts, ImageClassifier.load(settings.safety_classifier))


def build_upsampler(settings: Settings) -> Upsampler | None:
    """What elaborates prompts, None when that is off."""
    from retouch.net.chat import ChatUpsampler

    if not settings.upsampling_url:
        return None
    return ChatUpsampler(
        settings.upsampling_url,
        model=settings.upsampling_model,
        key=settings.upsampling_key,
        timeout_s=settings.upsampling_timeout_s,
    )


# -- one edit, here and now ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Edited:
    """A finished picture file."""

    data: bytes
    width: int
    height: int
    logs: str


def edit_once(
    settings: Settings, edit: Edit, images: Sequence[Path], show: Callable[[int, int], None]
) -> Edited:
    """Make one edit without a server. Raises BadInput, InvalidEdit, EngineFailed, WeightsError."""
    from retouch.images.encode import encode

    logs.configure("warning", settings.log_format)
    pictures = tuple(_read_picture(path, settings) for path in images)
    picture, said = run_edit(build_engine(settings), edit, pictures, show)
    data = encode(picture, edit.output_format, edit.output_quality)
    return Edited(data, picture.width, picture.height, said)


def run_edit(
    engine: "StepEngine",
    edit: Edit,
    images: tuple[Picture, ...],
    show: Callable[[int, int], None] = lambda step, steps: None,
) -> tuple[Picture, str]:
    """Drive an engine through one edit: its first picture and its logs. Raises EngineFailed."""
    engine.add(Job("edit", edit, images))
    while not engine.idle:
        for event in engine.step():
            match event:
                case Stepped(_, progress):
                    show(progress.step, progress.steps)
                case Finished(_, pictures, _, said):
                    return pictures[0], said
                case Broken(_, error, _):
                    raise EngineFailed(error)
    raise EngineFailed("The engine stopped without a result.")


def _read_picture(path: Path, settings: Settings) -> Picture:
    from retouch.images.decode import Limits, decode_bytes

    limits = Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    try:
        return decode_bytes(path.read_bytes(), limits)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
