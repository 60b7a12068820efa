"""What a service manager hears of a server: that it answers, and nothing once it hangs."""

import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from retouch.running import RunningServer


@pytest.fixture
def hearing() -> Iterator[socket.socket]:
    """Where systemd would listen: a short path, as the system wants it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening,
    ):
        listening.bind(f"{folder}/notify")
        listening.settimeout(60)
        yield listening


def test_a_server_says_that_it_answers_until_it_hangs(
    hearing: socket.socket, tmp_path: Path
) -> None:
    told = {"NOTIFY_SOCKET": hearing.getsockname(), "WATCHDOG_USEC": "300000"}
    server = RunningServer(tmp_path / "data", command="web", environ={**os.environ, **told})
    try:
        before = list(iter(partial(hearing.recv, 100), b"READY=1"))
        after = hearing.recv(100)
        server.process.send_signal(signal.SIGSTOP)
        hearing.settimeout(1)
        with pytest.raises(TimeoutError):
            drain(hearing)
    finally:
        server.process.send_signal(signal.SIGCONT)
        server.stop()

    assert {*before, after} == {b"WATCHDOG=1"}


def drain(hearing: socket.socket) -> None:
    """Take what was said, until there is silence."""
    while True:
        hearing.recv(100)
