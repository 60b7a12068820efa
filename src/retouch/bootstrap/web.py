"""The web process, and what it supervises: the worker, and more web processes beside it.

Those only answer. Webhooks, the janitor and the worker are the first one's.
"""

import asyncio
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import structlog

from retouch import __version__, logs
from retouch.bootstrap.parts import (
    CLOCK,
    build_catalogue,
    open_blobs,
    open_store,
    open_tracer,
    read_secrets,
)
from retouch.domain.grant import Limits
from retouch.domain.prediction import Kept
from retouch.folder import DataFolder
from retouch.settings import Settings, SettingsError

if TYPE_CHECKING:
    from retouch.service.disk import DiskReserve
    from retouch.service.meters import WebMeters
    from retouch.store import SqlStore
    from retouch.web.server import WebServer
    from retouch.web.services import Services
    from retouch.worker.supervisor import Patience, Supervisor

log = structlog.get_logger(__name__)

FAMILIES = {"toy": "retouch.engine.families.toy"}
BEAT_S = 0.5
"""How often one more web process tells the first one that it runs."""

DEFAULT_FAMILY = "retouch.engine.families.flux1"
"""What the worker's fork server imports of the families ahead of time."""


def serve(settings: Settings, *, with_worker: bool) -> int:
    """Run the web process, and one supervised worker beside it, until SIGTERM or SIGINT.

    Prints one line when it answers. Raises Busy when another server uses the data folder.
    """
    import uvloop

    logs.configure(settings.log_level, settings.log_format, for_good=True, gathered=True)
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
    from retouch.service.periodic import Periodic
    from retouch.service.readiness import Readiness
    from retouch.service.reconcile import Reconciler
    from retouch.web.server import listen

    async with AsyncExitStack() as stack:
        store, services = await _open(stack, settings, folder, 1)
        await _refuse_open_bind(settings, services)
        sockets = stack.enter_context(
            listen(settings.host, settings.port, processes=settings.web_processes)
        )
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
            on_tried=services.meters.tried,
            tracer=services.tracer,
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
        server = _server(settings, services, sockets[0], _announce)
        siblings = [_sibling(settings, number, it) for number, it in enumerate(sockets[1:], 2)]
        await _run_until_told(
            server, services, settings.drain_s, supervisor, siblings, held=sockets[1:]
        )


def _answer(
    settings: Settings,
    number: int,
    listening: socket.socket,
    _learned: None,
    ready: "Connection[None, None]",
) -> None:
    """Be one more web process, until SIGTERM or until the first one dies."""
    import uvloop

    logs.configure(settings.log_level, settings.log_format, for_good=True, gathered=True)
    uvloop.run(_answer_until_told(settings, number, listening, ready))


async def _answer_until_told(
    settings: Settings,
    number: int,
    listening: socket.socket,
    ready: "Connection[None, None]",
) -> None:
    from retouch.service.periodic import Periodic
    from retouch.service.readiness import Readiness
    from retouch.worker.process import beat

    is_ready = asyncio.Event()

    def on_ready(_: str) -> None:
        log.info("web.ready", pid=os.getpid())
        is_ready.set()

    async def tell() -> None:
        await is_ready.wait()
        beat(ready)

    async with AsyncExitStack() as stack:
        store, services = await _open(stack, settings, DataFolder(settings.data), number)
        readiness = Readiness(
            roster=store, blobs=services.blobs, require_room=_disk(settings).require_room
        )
        services = replace(services, ready=readiness.missing)
        beats = Periodic("beats", tell, every_s=BEAT_S)
        await beats.start()
        stack.push_async_callback(beats.stop)
        server = _server(settings, services, listening, on_ready)
        await _run_until_told(server, services, settings.drain_s)


async def _run_until_told(
    server: "WebServer",
    services: "Services",
    drain_s: float,
    supervisor: "Supervisor | None" = None,
    siblings: "Sequence[Supervisor]" = (),
    held: Sequence[socket.socket] = (),
) -> None:
    """Serve until a signal. Then nothing new is taken, and the worker drains before the web
    process goes, so that pollers still get its results; without one, held answers have `drain_s`.

    `held` are the sockets of siblings, which go when those do.
    """
    from retouch.worker.process import on_told

    told = asyncio.Event()
    on_told(told.set)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.run_until_exit())
        serving.add_done_callback(lambda _: told.set())
        for child in (*siblings, *([supervisor] if supervisor else [])):
            await child.start()
        await told.wait()
        services.doors.close()
        log.info("server.draining")
        for it in held:
            it.close()
        leaving = supervisor.stop() if supervisor else services.predictions.unwatched(drain_s)
        await asyncio.gather(leaving, *(sibling.stop() for sibling in siblings))
        services.predictions.release()
        server.should_exit = True


def _server(
    settings: Settings,
    services: "Services",
    listening: socket.socket,
    on_ready: Callable[[str], None],
) -> "WebServer":
    from retouch.web.app import WebOptions, create_app
    from retouch.web.server import WebServer

    options = WebOptions(
        public_url=settings.public_url,
        trust_forwarded=settings.trust_forwarded,
        max_wrong_keys=settings.max_wrong_keys,
        max_body_bytes=settings.max_body_bytes,
        host=settings.host,
        allowed_hosts=settings.allowed_hosts,
    )
    return WebServer(create_app(services, options), listening, on_ready=on_ready)


async def _open(
    stack: AsyncExitStack, settings: Settings, folder: DataFolder, number: int
) -> "tuple[SqlStore, Services]":
    """What a web process works with; where it is one of several the roster knows it."""
    from retouch.ports import ProcessKind
    from retouch.service.enlistment import Enlistment
    from retouch.service.meters import WebMeters

    tracer = await stack.enter_async_context(open_tracer())
    meters = WebMeters()
    store = await stack.enter_async_context(open_store(settings, on_moved=meters.moved))
    services = replace(_services(settings, folder, store, meters), tracer=tracer)
    if settings.web_processes > 1:
        services = replace(services, name=f"web-{folder.node()}-{number}")
        enlistment = Enlistment(services.name, ProcessKind.WEB, roster=store, meters=meters)
        await enlistment.start()
        stack.push_async_callback(enlistment.stop)
    return store, services


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

    secret, *older = read_secrets(settings, folder)
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
            max_image_bytes=settings.max_image_bytes,
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
        signer=WebhookSigner(secret, *older),
        roster=store,
        meters=meters,
    )


def _disk(settings: Settings) -> "DiskReserve":
    from retouch.service.disk import DiskReserve

    return DiskReserve(partial(_free_bytes, _disks(settings)), settings.min_free_bytes)


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
    from retouch.worker.process import Nursery
    from retouch.worker.supervisor import Supervisor

    name = _local_name(folder)
    family = FAMILIES.get(settings.weights, DEFAULT_FAMILY)
    nursery = Nursery(_work, settings, name, preload=("retouch.bootstrap.worker", __name__, family))
    return Supervisor(
        nursery.spawn,
        lambda loss: store.release(name, loss=loss),
        clock=CLOCK,
        grace_s=settings.drain_s + 5,
    )


def _sibling(
    settings: Settings,
    number: int,
    listening: socket.socket,
    patience: "Patience | None" = None,
) -> "Supervisor":
    from retouch.worker.process import Nursery
    from retouch.worker.supervisor import Patience, Supervisor

    async def nothing(_: object) -> None:
        """It holds no lease."""

    # Not from the fork server: that has torch.
    nursery = Nursery(_answer, settings, number, listening, forks=False)
    grace_s = settings.drain_s + 5
    return Supervisor(
        nursery.spawn,
        nothing,
        clock=CLOCK,
        grace_s=grace_s,
        what="web",
        patience=patience or Patience(),
    )


def _work(*arguments: Any) -> None:
    """Be a worker: only the fork server and its children have this imported."""
    from retouch.bootstrap.worker import work

    work(*arguments)


def _local_name(folder: DataFolder) -> str:
    """One name for every worker and sender this folder ever has: it frees what a dead one held."""
    return f"serve-{folder.node()}"


async def _refuse_open_bind(settings: Settings, services: "Services") -> None:
    """Raise SettingsError for an address others can reach while there is no key."""
    from retouch.web.names import is_loopback

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
