"""The whole front in memory, for every test that talks HTTP to it."""

import gc
import hashlib
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from retouch.blobs import ObstoreBlobs
from retouch.domain.failure import Failure
from retouch.domain.grant import EVERYTHING, NO_LIMITS, Grant, Limits
from retouch.domain.prediction import Fail, Fence, Kept, Output, Prediction, Progress, Succeed
from retouch.logs import name_request
from retouch.net.sealing import WebhookSigner
from retouch.net.signing import LinkSigner
from retouch.protocols import DIALECTS
from retouch.service.catalogue import Catalogue
from retouch.service.eraser import Eraser
from retouch.service.files import Uploads
from retouch.service.identity import Tickets
from retouch.service.intake import Intake
from retouch.service.janitor import Janitor
from retouch.service.keys import KeyService
from retouch.service.links import Links, Views
from retouch.service.predictions import Predictions
from retouch.testing import FakeClock, MemoryStore
from retouch.web import Services, WebOptions, create_app

# Every run tries the same examples, however slow the machine is;
# `pytest --hypothesis-profile=search` tries others each time.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", steady)
settings.register_profile("steady", steady, derandomize=True)
settings.load_profile("steady")

HOST = "http://127.0.0.1:8787"
PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 9


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--weights`: what the official clients' server runs on."""
    parser.addoption("--weights", default="toy", help="weights behind the clients: toy, nano")


def pytest_configure() -> None:
    """Importing and collecting leave no garbage worth a search."""
    gc.disable()
    configure_logs()
    forget_settings()


def forget_settings() -> None:
    """Whoever runs the tests may have a server of their own: none of its settings is for ours."""
    foreign = (
        "retouch_",
        "otel_",
        "hf_hub_",
        "hf_token",
        "pg",
        "notify_socket",
        "watchdog_",
        "aws_",
    )
    for name in list(os.environ):
        if name.lower().startswith(foreign) or name.lower().endswith("_proxy"):
            del os.environ[name]


def pytest_collection_finish() -> None:
    """Leave what importing and collecting made out of every later garbage collection.

    With torch loaded, walking it all again and again is a fifth of the suite's time.
    """
    gc.enable()
    gc.collect()
    gc.freeze()


def configure_logs() -> None:
    """Plain log lines: structlog's own default draws tracebacks with rich, which takes a worker
    under faults nine tenths of its time.
    """
    structlog.reset_defaults()
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=[name_request, plain])


TOGETHER = ("tests/e2e/clients/", "tests/contract/store/")
"""Folders whose tests share a server that takes seconds to start."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the tests that mostly wait: nothing is left to fill their waiting at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/e2e/", *TOGETHER)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """A process gets whole files, or whole folders of `TOGETHER`."""
    return ByFileOrFolder(config, log)


class ByFileOrFolder(LoadFileScheduling):
    """Hands out the tests of a file, or of a folder that shares a server, as one piece."""

    def _split_scope(self, nodeid: str) -> str:
        folder = next((it for it in TOGETHER if nodeid.startswith(it)), None)
        return folder or super()._split_scope(nodeid)


class CountingEntropy:
    """Random bytes that are the same in every run."""

    def __init__(self) -> None:
        self._count = itertools.count()

    def __call__(self, size: int) -> bytes:
        return hashlib.shake_128(str(next(self._count)).encode()).digest(size)


@dataclass
class Front:
    """Services on the in-memory twins, and a client let in as the local caller."""

    options: WebOptions = field(default_factory=WebOptions)
    clock: FakeClock = field(default_factory=FakeClock)
    entropy: CountingEntropy = field(default_factory=CountingEntropy)
    limits: Limits = NO_LIMITS
    max_image_bytes: int | None = None
    require_room: Callable[[], None] = lambda: None
    inpaints: bool = True

    def __post_init__(self) -> None:
        self.store = store = MemoryStore(self.clock)
        self.blobs = blobs = ObstoreBlobs.at("memory:///")
        links = Links(LinkSigner(b"a secret of sixteen"), self.clock)
        tickets = Tickets(b"another secret")
        catalogue = Catalogue.build(DIALECTS, inpaints=self.inpaints)
        common = {"files": store, "blobs": blobs, "clock": self.clock, "entropy": self.entropy}
        room = {"require_room": self.require_room}
        day_s = 86_400.0
        keep_s = {Kept.INPUTS: day_s, Kept.OUTPUTS: 7 * day_s, Kept.RECORD: 30 * day_s}
        stored = {"store": store, "files": store, "blobs": blobs, "clock": self.clock}
        self.janitor = Janitor(keep_s=keep_s, **stored)
        self.services = Services(
            catalogue=catalogue,
            intake=Intake(
                store=store,
                links=links,
                catalogue=catalogue,
                limits=self.limits,
                max_image_bytes=self.max_image_bytes,
                **common,
                **room,
            ),
            predictions=Predictions(store, poll_s=0.05),
            uploads=Uploads(**common, **room),
            eraser=Eraser(store=store, blobs=blobs),
            keys=KeyService(store, self.clock, entropy=self.entropy),
            blobs=blobs,
            links=links,
            views=Views(links, tickets),
            tickets=tickets,
            roster=store,
            signer=WebhookSigner(b"a third secret of some length"),
        )

    @asynccontextmanager
    async def serving(
        self, *, ready: Callable[[], Awaitable[str | None]] | None = None
    ) -> AsyncIterator["Front"]:
        """The app, started; `self.client` talks to it from loopback."""
        services = replace(self.services, ready=ready) if ready else self.services
        self.app = create_app(services, self.options, draw_request_id=lambda: "request")
        async with self.app.router.lifespan_context(self.app), self.caller() as self.client:
            yield self

    def caller(
        self, peer: str = "127.0.0.1", base_url: str = HOST, **headers: str
    ) -> httpx2.AsyncClient:
        """A client at another address, under another name, with other headers."""
        transport = httpx2.ASGITransport(app=self.app, client=(peer, 4711))
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx2.AsyncClient(transport=transport, base_url=base_url, headers=named)

    async def key(self, name: str = "someone", grant: Grant = EVERYTHING) -> dict[str, str]:
        """A new key, as headers."""
        _, secret = await self.services.keys.create(name, grant)
        return {"authorization": f"Bearer {secret}"}

    async def start_one(self) -> Prediction:
        """Claim the next prediction as a worker would."""
        (claimed,) = await self.store.claim("worker", limit=1, lease_s=10)
        return claimed

    async def finish_one(self, *, failure: Failure | None = None, pictures: int = 1) -> Prediction:
        """Claim the next prediction and finish it with tiny pictures, or fail it."""
        return await self.finish(await self.start_one(), failure=failure, pictures=pictures)

    async def preview(self, running: Prediction, *previews: bytes) -> None:
        """Store what has been previewed of it so far, and say so, as a worker would."""
        for number, data in enumerate(previews):
            await self.blobs.put(running.preview_key(number), data)
        told = {running.id: (running.attempt, Progress(1, 4, len(previews)))}
        await self.store.beat("worker", told, lease_s=10)

    async def finish(
        self, running: Prediction, *, failure: Failure | None = None, pictures: int = 1
    ) -> Prediction:
        """Finish what runs with tiny pictures, or fail it."""
        self.clock.advance(1)
        fence = Fence("worker", running.attempt)
        if failure:
            done = await self.store.advance(running.id, Fail(failure), fence=fence)
        else:
            kind = running.edit.output_format
            keys = [f"{running.id}/1/{n}.{kind.extension}" for n in range(pictures)]
            for key in keys:
                await self.blobs.put(key, PNG)
            outputs = tuple(Output(key, kind.content_type, 8, 8, len(PNG)) for key in keys)
            move = Succeed(outputs, {"predict_time": 1.0})
            done = await self.store.advance(running.id, move, fence=fence)
        assert done is not None
        return done


@pytest.fixture(autouse=True)
def unconfigured_logs() -> Iterator[None]:
    """Undo what a command run in this process made of the log lines."""
    yield
    configure_logs()


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    """The front, serving."""
    async with Front().serving() as serving:
        yield serving


@pytest.fixture
def new_front() -> type[Front]:
    """A front to start with options of one's own."""
    return Front
