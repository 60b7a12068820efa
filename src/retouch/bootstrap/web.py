"""The first web process, and what it alone does: webhooks, the janitor, supervising the others."""

import asyncio
import re
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from retouch import __version__, logs
from retouch.bootstrap.answering import build_server, run_until_told
from retouch.bootstrap.children import local_name, sibling_child, worker_child
from retouch.bootstrap.engine import check_engine
from retouch.bootstrap.parts import CLOCK, read_words
from retouch.bootstrap.services import disk_reserve, open_services
from retouch.bootstrap.systemd import READY, signs_of_life, tell
from retouch.domain.errors import Busy, cause_of
from retouch.domain.prediction import Kept
from retouch.folder import DataFolder
from retouch.settings import Settings, SettingsError, overseen_by

STORAGE_WITHIN_S = 15.0
"""How long the pictures' store may take to answer a server that starts."""

if TYPE_CHECKING:
    from retouch.ports import Blobs
    from retouch.service.deliveries import Deliveries
    from retouch.service.periodic import Periodic
    from retouch.store import SqlStore
    from retouch.web.services import Services


def serve(settings: Settings, *, with_worker: bool) -> int:
    """Run the web process, and one supervised worker beside it, until SIGTERM or SIGINT.

    Prints one line when it answers. Raises Busy when another server uses the data folder, and
    WeightsError and SettingsError for what would keep it from its work.
    """
    import uvloop

    if with_worker:
        check_engine(settings)
        read_words(settings)
    logs.configure(settings.log_level, settings.log_format, for_good=True, gathered=True)
    folder = DataFolder(settings.data)
    with folder.served() if with_worker else nullcontext():
        uvloop.run(_serve(settings, folder, with_worker=with_worker))
    return 0


async def _serve(settings: Settings, folder: DataFolder, *, with_worker: bool) -> None:
    from retouch.service.readiness import Readiness
    from retouch.web.server import listen

    name, overseer = local_name(folder) if with_worker else "", overseen_by()

    def announce(address: str) -> None:
        print(f"retouch {__version__} is ready at {address}", flush=True)
        if overseer:
            tell(overseer, READY)

    async with AsyncExitStack() as stack:
        store, services = await open_services(stack, settings, folder, 1)
        await _refuse_open_bind(settings, services)
        await _refuse_useless_storage(settings, services.blobs)
        sockets = stack.enter_context(
            listen(settings.host, settings.port, processes=settings.web_processes)
        )
        supervisor = worker_child(settings, folder, store) if with_worker else None
        readiness = Readiness(
            roster=store,
            blobs=services.blobs,
            require_room=disk_reserve(settings).require_room,
            own_worker=name,
            is_own_up=lambda: supervisor is not None and supervisor.is_ready,
        )
        services = replace(services, ready=readiness.missing)
        for chore in (*_chores(settings, store, services, name), *signs_of_life(overseer)):
            await chore.start()
            stack.push_async_callback(chore.stop)
        server = build_server(settings, services, sockets[0], announce)
        siblings = [sibling_child(settings, number, it) for number, it in enumerate(sockets[1:], 2)]
        await run_until_told(
            server, services, settings.drain_s, supervisor, siblings, held=sockets[1:]
        )


def _chores(
    settings: Settings, store: "SqlStore", services: "Services", name: str
) -> "Sequence[Deliveries | Periodic]":
    """The tasks that run beside answering; `name` is that of the webhooks' sender."""
    from retouch.net.courier import GuardedCourier
    from retouch.protocols import DIALECTS
    from retouch.service.deliveries import Deliveries
    from retouch.service.janitor import Janitor
    from retouch.service.leases import LapsedLeases
    from retouch.service.periodic import Periodic
    from retouch.service.reconcile import Reconciler

    blobs, keep_s = services.blobs, _keep_s(settings)
    janitor = Janitor(store=store, files=store, blobs=blobs, clock=CLOCK, keep_s=keep_s)
    reconciler = Reconciler(store=store, files=store, blobs=blobs, clock=CLOCK)
    leases = LapsedLeases(store, CLOCK, lease_s=settings.lease_s)
    deliveries = Deliveries(
        store=store,
        outbox=store,
        dialects=DIALECTS,
        views=services.views,
        signer=services.signer,
        courier=GuardedCourier(settings.allow_webhook),
        clock=CLOCK,
        random=secrets.SystemRandom().random,
        name=name,
        on_tried=services.meters.tried,
        tracer=services.tracer,
    )
    return (
        deliveries,
        Periodic("lapsed leases", leases.turn, every_s=leases.every_s),
        Periodic("orphaned blobs", reconciler.turn, every_s=86_400.0),
        Periodic("passed deadlines", store.expire, every_s=1.0),
        Periodic("expired files", janitor.sweep, every_s=60.0),
        Periodic("old previews", janitor.drop_previews, every_s=30.0),
    )


def _keep_s(settings: Settings) -> dict[Kept, float]:
    spans = {
        Kept.INPUTS: settings.keep_inputs_s,
        Kept.OUTPUTS: settings.keep_outputs_s,
        Kept.RECORD: settings.keep_record_s,
    }
    return {kept: span_s for kept, span_s in spans.items() if span_s}


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


async def _refuse_useless_storage(settings: Settings, blobs: "Blobs") -> None:
    """Raise SettingsError where pictures cannot be kept: every create would fail."""
    try:
        async with asyncio.timeout(STORAGE_WITHIN_S):
            await blobs.list("uploads/none")  # of a key alone a bucket says only that it is missing
    except Busy as error:
        answered = re.search(r"<Code>(\w+)</Code>", str(error.__cause__))
        why = f"it answered {answered[1]}" if answered else cause_of(error)
    except TimeoutError:
        why = f"it did not answer within {STORAGE_WITHIN_S:g} s"
    else:
        return
    place = urlsplit(settings.blobs_url)  # whose other parts may hold a credential
    raise SettingsError(
        f"pictures cannot be kept at {place.scheme}://{place.hostname or ''}{place.path}, which "
        f"setting 'blobs' names: {why}"
    ) from None
