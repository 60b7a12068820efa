"""The services of a web process, built from the settings."""

import secrets
import shutil
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from retouch.bootstrap.parts import (
    CLOCK,
    build_catalogue,
    open_blobs,
    open_store,
    open_tracer,
    read_secrets,
)
from retouch.domain.grant import Limits
from retouch.folder import DataFolder
from retouch.settings import Settings

if TYPE_CHECKING:
    from retouch.service.disk import DiskReserve
    from retouch.service.meters import WebMeters
    from retouch.store import SqlStore
    from retouch.web.services import Services


async def open_services(
    stack: AsyncExitStack, settings: Settings, folder: DataFolder, number: int
) -> "tuple[SqlStore, Services]":
    """The services of web process `number`; if it is one of several, it is put on the roster."""
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
    disk = disk_reserve(settings)
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


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_in_flight=settings.max_in_flight or None,
        rate=settings.rate,
        max_queued=settings.max_queued or None,
    )


def disk_reserve(settings: Settings) -> "DiskReserve":
    """Refuses what would fill the disks we write to."""
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
