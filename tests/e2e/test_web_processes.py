"""Several web processes on one port: all answer, one that dies or hangs comes back, all stop."""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from retouch.bootstrap.children import sibling_child
from retouch.bootstrap.parts import open_store
from retouch.running import RunningServer
from retouch.settings import Settings
from retouch.web.server import listen
from retouch.worker.supervisor import Patience

CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
ANSWERED = re.compile(r'retouch_http_requests_total\{.*process="([^"]+)".*route="/metrics"')


def get(url: str) -> str:
    with urlopen(url, timeout=60) as answer:  # noqa: S310  our own server
        return str(answer.read().decode())


def siblings(server: RunningServer) -> list[int]:
    return [json.loads(line)["pid"] for line in server.log if '"web.started"' in line]


def until(happened: Callable[[], bool]) -> None:
    """Look again and again: each look is a request, over a connection of its own."""
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline


def test_two_processes_share_a_port(tmp_path: Path) -> None:
    flags = ("--weights", "toy", "--log-format", "json", "--web-processes", "2")
    server = RunningServer(tmp_path / "data", *flags, command="web")
    try:
        until(lambda: len(set(ANSWERED.findall(get(f"{server.url}/metrics")))) == 2)

        body = json.dumps({"input": {"prompt": "go"}}).encode()
        headers = {"content-type": "application/json"}
        with urlopen(Request(server.url + CREATE, body, headers), timeout=60) as answer:  # noqa: S310
            created = json.load(answer)
        seen = {json.loads(get(created["urls"]["get"]))["status"] for _ in range(20)}
        assert seen == {"starting"}

        os.kill(siblings(server)[0], signal.SIGKILL)
        assert [get(f"{server.url}/livez") for _ in range(20)] == ['{"status":"ok"}'] * 20
        until(lambda: bool(get(f"{server.url}/livez")) and len(siblings(server)) == 2)
    finally:
        code = server.stop()

    assert code == 0
    with pytest.raises(ProcessLookupError):
        os.kill(siblings(server)[-1], 0)


async def reached(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not happened():  # noqa: ASYNC110  processes are looked at, they tell nobody
            await asyncio.sleep(0.05)


async def test_one_that_hangs_is_replaced_and_until_then_its_beats_are_heard(
    tmp_path: Path,
) -> None:
    settings, patience = Settings(data=tmp_path, drain_s=1), Patience(look_every_s=0.4, looks=5)
    async with open_store(settings):
        """Its tables are made."""
    with listen("127.0.0.1", 0, processes=2) as (_, listening):
        supervisor = sibling_child(settings, 2, listening, patience)
        await supervisor.start()
        try:
            await reached(lambda: supervisor.child is not None and supervisor.child.heard >= 7)
            first = supervisor.child
            assert first is not None
            assert first.pid is not None
            assert first.exitcode is None

            os.kill(first.pid, signal.SIGSTOP)
            await reached(lambda: supervisor.child is not first)
            assert first.exitcode == -signal.SIGKILL
        finally:
            await supervisor.stop()
