"""A webhook receiver on the loopback that answers as it is told and remembers what came, and the
sender of what the front has to tell.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import pytest

from retouch.net import GuardedCourier, WebhookSigner
from retouch.protocols import DIALECTS
from retouch.service.deliveries import Deliveries


@dataclass(frozen=True)
class Arrival:
    """One request."""

    line: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers each request with the next of `statuses`, the last one over and over."""

    port: int = 0
    statuses: list[str] = field(default_factory=lambda: ["200 OK"])
    headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b"{}"
    open: asyncio.Event = field(default_factory=asyncio.Event)  # unset: answers only once it is
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    arrivals: list[Arrival] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.arrivals.append(await _read(reader))
            self.arrived.set()
            await self.open.wait()
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            fields = {"content-length": str(len(self.answer)), **self.headers}
            lines = [f"HTTP/1.1 {status}", *(f"{n}: {v}" for n, v in fields.items()), "", ""]
            writer.write("\r\n".join(lines).encode() + self.answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the sender left, or the test is over
        finally:
            self.at_once -= 1
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Arrival:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Arrival(head[0], headers, body)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes everything until told otherwise."""
    receiver = Receiver()
    receiver.open.set()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.open.set()
        server.close()


@pytest.fixture
def sent(front: Any) -> Callable[[], Awaitable[None]]:
    """Sends what is due now, to the loopback too, and returns once it is settled."""
    return sending(front, front.services.signer)


def sending(front: Any, signer: WebhookSigner) -> Callable[[], Awaitable[None]]:
    """The same, signed by another."""
    sender = Deliveries(
        store=front.store,
        outbox=front.store,
        dialects=DIALECTS,
        views=front.services.views,
        signer=signer,
        courier=GuardedCourier((ip_network("127.0.0.0/8"),)),
        clock=front.clock,
        random=lambda: 0.0,
    )

    async def send() -> None:
        await sender.turn()
        await sender.drain()

    return send
