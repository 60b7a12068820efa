"""Servers of any make, each in a session of its own: started, awaited, weighed, stopped."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.contestants import BENCH, Contestant

PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    name: str
    url: str
    path: str
    body: Path
    ready_s: float
    idle_mb: float


@contextmanager
def serving(contestant: Contestant, folder: Path) -> Iterator[Running]:
    """A server on a free port, stopped with all its processes at the end."""
    port = str(free_port())
    fill = [part.replace("{port}", port) for part in contestant.command]
    environ = dict(os.environ)
    if contestant.packages:
        fill[0] = str(contestant.home / fill[0])
        environ["PATH"] = f"{contestant.home / 'bin'}:{environ['PATH']}"
        environ.pop("PYTHONPATH", None)
    environ |= {name: value.replace("{port}", port) for name, value in contestant.environ.items()}
    log = folder / f"{contestant.name}-{port}.log"
    body = folder / f"{contestant.name}.json"
    body.write_text(contestant.body)
    started = time.monotonic()
    with log.open("w") as out:
        process = subprocess.Popen(  # noqa: S603  a contestant
            fill,
            cwd=BENCH / "peers",
            env=environ,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        await_health(process, url + contestant.health, contestant.says, log)
        ready_s = time.monotonic() - started
        time.sleep(4.0)  # what start-up leaves behind is settled, and every process is up
        idle_mb = session_mb(process.pid)
        yield Running(contestant.name, url, contestant.path, body, ready_s, idle_mb)
    finally:
        stop(process)


def await_health(process: "subprocess.Popen[bytes]", url: str, says: str, log: Path) -> None:
    """Return at the first good answer; raises RuntimeError with the end of the log."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  our own
                if says in answer.read().decode():
                    return
        except OSError:  # not yet
            pass
        time.sleep(0.02)
    raise RuntimeError(f"{url} never answered:\n{log.read_text()[-2000:]}")


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask the whole session to end, and make it."""
    for number, patience_s in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience_s)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    process.wait()


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def session_mb(session: int) -> float:
    """Memory of every process of a session, what they share counted once."""
    total_mb = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                total_mb += pss_mb(folder.name)
        except (OSError, IndexError):  # it has just ended
            continue
    return total_mb


def pss_mb(pid: int | str) -> float:
    """Memory of a process, of what it shares with others its part; a megabyte is 10^6 bytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kibibytes = int(rollup.partition("\nPss:")[2].split()[0])
    return kibibytes * 1024 / 1e6
