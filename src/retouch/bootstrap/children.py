"""The processes that the first web process supervises: the worker, and other web processes."""

import socket
from typing import TYPE_CHECKING, Any

from retouch.bootstrap.answering import answer
from retouch.bootstrap.parts import CLOCK
from retouch.folder import DataFolder
from retouch.settings import Settings

if TYPE_CHECKING:
    from retouch.store import SqlStore
    from retouch.worker.supervisor import Patience, Supervisor

FAMILIES = {"toy": "retouch.engine.families.toy"}
DEFAULT_FAMILY = "retouch.engine.families.flux1"
"""The modules of the families that the worker's fork server imports ahead of time."""


def worker_child(settings: Settings, folder: DataFolder, store: "SqlStore") -> "Supervisor":
    """The worker of this data folder, started anew whenever it dies."""
    from retouch.worker.process import Nursery
    from retouch.worker.supervisor import Supervisor

    name = local_name(folder)
    family = FAMILIES.get(settings.weights, DEFAULT_FAMILY)
    nursery = Nursery(_work, settings, name, preload=("retouch.bootstrap.worker", __name__, family))
    return Supervisor(
        nursery.spawn,
        lambda loss: store.release(name, loss=loss),
        clock=CLOCK,
        grace_s=settings.drain_s + 5,
    )


def _work(*arguments: Any) -> None:
    """Be a worker: only the fork server and its children have this imported."""
    from retouch.bootstrap.worker import work

    work(*arguments)


def sibling_child(
    settings: Settings,
    number: int,
    listening: socket.socket,
    patience: "Patience | None" = None,
) -> "Supervisor":
    """One more web process, started anew whenever it dies or is silent beyond `patience`."""
    from retouch.worker.process import Nursery
    from retouch.worker.supervisor import Patience, Supervisor

    async def nothing(_: object) -> None:
        """It holds no lease."""

    # Not from the fork server: that has torch.
    nursery = Nursery(answer, settings, number, listening, forks=False)
    grace_s = settings.drain_s + 5
    return Supervisor(
        nursery.spawn,
        nothing,
        clock=CLOCK,
        grace_s=grace_s,
        what="web",
        patience=patience or Patience(),
    )


def local_name(folder: DataFolder) -> str:
    """One name for every worker and sender this folder ever has: it frees what a dead one held."""
    return f"serve-{folder.node()}"
