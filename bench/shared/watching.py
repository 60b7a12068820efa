"""A running server as a benchmark sees it: which predictions ended, its processes, their memory."""

import json
import time
from pathlib import Path

from retouch.domain.prediction import FINAL, Prediction, Status
from retouch.ports import Store
from retouch.running import RunningServer

FINAL_NAMES = frozenset(status.value for status in FINAL)
"""The events that end a prediction."""


async def finished(store: Store, ids: set[str], timeout_s: float) -> list[Prediction]:
    """Wait until every id is final, or the time is over; all of them as they then are."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        statuses = await store.statuses(ids)
        if len(statuses) == len(ids) and all(Status(s).is_final for s in statuses.values()):
            break
        await store.changed(0.5)
    return [found for id in ids if (found := await store.get(id)) is not None]


def worker_pid(server: RunningServer) -> int | None:
    """The process id of the newest supervised worker, from the server's own JSON log."""
    return next(reversed(logged_pids(server, "worker.started")), None)


def logged_pids(server: RunningServer, event: str) -> list[int]:
    """The process ids in the lines of a server's JSON log that tell of an event, in order."""
    lines = [json.loads(line) for line in server.log if f'"{event}"' in line]
    return [int(line["pid"]) for line in lines]


def memory_mb(pid: int | str, what: str = "VmRSS") -> float:
    """Resident memory of a process, now or (`VmHWM`) at its most; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    kibibytes = (int(line.split()[1]) for line in lines if line.startswith(what))
    return next(kibibytes, 0) * 1024 / 1e6
