"""What the benchmarks that kill things share."""

import json
import time

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
