"""Webhooks of the real server, which is killed while its receiver is down."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from replicate.webhook import Webhooks, WebhookSigningSecret

from retouch.running import RunningServer, running_server
from retouch.store import SqlStore

MODEL = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
TOY = ("--weights", "toy", "--allow-webhook", "127.0.0.0/8")


class Receiver(ThreadingHTTPServer):
    """Refuses everything until `well` is set; `refused` and `taken` say that something came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Desk)
        self.well, self.refused, self.taken = (threading.Event() for _ in range(3))
        self.arrivals: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/done"


class Desk(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.arrivals.append(({k.lower(): v for k, v in self.headers.items()}, body))
        is_well = self.server.well.is_set()
        self.send_response(204 if is_well else 503)
        self.end_headers()
        (self.server.taken if is_well else self.server.refused).set()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        serving = threading.Thread(target=receiver.serve_forever)
        serving.start()
        yield receiver
        receiver.shutdown()
        serving.join()


def call(url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"})  # noqa: S310  our own server
    with urlopen(request, timeout=60) as answer:  # noqa: S310  our own server
        return json.load(answer)


async def failure_noted(folder: Path) -> None:
    """Return once the first failure is on disk: until then the delivery is leased."""
    store = SqlStore(f"sqlite:///{folder}/retouch.db")
    await store.start()
    async with asyncio.timeout(60):
        while not (await store.list_deliveries(limit=1))[0].note:
            await store.changed(1)
    await store.stop()


def test_what_a_killed_server_could_not_tell_is_told_by_the_next(
    tmp_path: Path, receiver: Receiver
) -> None:
    first = RunningServer(tmp_path, *TOY)
    made = call(first.url + MODEL, {"input": {"prompt": "go"}, "webhook": receiver.url})
    assert receiver.refused.wait(60)
    asyncio.run(failure_noted(tmp_path))
    first.kill()
    receiver.well.set()

    with running_server(tmp_path, *TOY) as second:
        assert receiver.taken.wait(60)
        secret = call(f"{second.url}/v1/webhooks/default/secret")

    headers, body = receiver.arrivals[-1]
    told = json.loads(body)
    assert (told["id"], told["status"]) == (made["id"], "succeeded")
    assert told["output"].startswith(first.url)
    assert len({headers["webhook-id"] for headers, _ in receiver.arrivals}) == 1
    Webhooks.validate(headers=headers, body=body.decode(), secret=WebhookSigningSecret(**secret))
