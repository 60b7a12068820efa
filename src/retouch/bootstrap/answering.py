"""The life of every web process: answer until it is told to stop, then drain."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from math import ceil
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import structlog

from retouch import logs
from retouch.bootstrap.services import disk_reserve, open_services
from retouch.folder import DataFolder
from retouch.settings import Settings

if TYPE_CHECKING:
    from retouch.web.app import WebOptions
    from retouch.web.server import WebServer
    from retouch.web.services import Services
    from retouch.worker.supervisor import Supervisor

log = structlog.get_logger(__name__)

BEAT_S = 0.5
"""How often one more web process tells the first one that it runs."""


def build_server(
    settings: Settings,
    services: "Services",
    listening: socket.socket,
    on_ready: Callable[[str], None],
) -> "WebServer":
    """The app on a listening socket; `on_ready` gets the address once requests are answered."""
    from retouch.web.app import create_app
    from retouch.web.server import WebServer

    return WebServer(create_app(services, web_options(settings)), listening, on_ready=on_ready)


def web_options(settings: Settings) -> "WebOptions":
    """The settings of each web process."""
    from retouch.web.app import WebOptions

    return WebOptions(
        public_url=settings.public_url,
        trust_forwarded=settings.trust_forwarded,
        # Each counts for itself, and whoever guesses gets to all of them.
        max_wrong_keys=ceil(settings.max_wrong_keys / settings.web_processes),
        max_body_bytes=settings.max_body_bytes,
        host=settings.host,
        allowed_hosts=settings.allowed_hosts,
    )


async def run_until_told(
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


def answer(
    settings: Settings,
    number: int,
    listening: socket.socket,
    _learned: None,
    ready: "Connection[None, None]",
) -> None:
    """Be one more web process, until SIGTERM or until the first one dies."""
    import uvloop

    logs.configure(settings.log_level, settings.log_format, for_good=True, gathered=True)
    uvloop.run(_answer(settings, number, listening, ready))


async def _answer(
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
        store, services = await open_services(stack, settings, DataFolder(settings.data), number)
        readiness = Readiness(
            roster=store, blobs=services.blobs, require_room=disk_reserve(settings).require_room
        )
        services = replace(services, ready=readiness.missing)
        beats = Periodic("beats", tell, every_s=BEAT_S)
        await beats.start()
        stack.push_async_callback(beats.stop)
        server = build_server(settings, services, listening, on_ready)
        await run_until_told(server, services, settings.drain_s)
