"""The processes that the first web process supervises: the worker, and other web processes."""

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retouch.bootstrap.answering import answer
from retouch.bootstrap.parts import CLOCK
from retouch.folder import DataFolder
from retouch.settings import Settings

if TYPE_CHECKING:
    from retouch.store import SqlStore
    from retouch.worker.supervisor import Patience, Supervisor

FAMILY_MODULES = {"toy": "retouch.engine.families.toy"}
DEFAULT_MODULE = "retouch.engine.families.flux1"
"""The modules, by weights, that the worker's fork server imports ahead of time."""

DRIVERS = (
    "/dev/nvidiactl",
    "/proc/driver/nvidia",
    "/dev/nvhost-ctrl",  # Jetson
    "/dev/dxg",  # Linux in Windows
    "/dev/kfd",  # AMD, which torch calls CUDA too
)
"""What is there where a driver of CUDA devices is."""


def worker_child(settings: Settings, folder: DataFolder, store: "SqlStore") -> "Supervisor":
    """The worker of this data folder, started anew whenever it dies."""
    from retouch.worker.process import Nursery
    from retouch.worker.supervisor import Supervisor

    name = local_name(folder)
    family = FAMILY_MODULES.get(settings.weights, DEFAULT_MODULE)
    nursery = Nursery(
        _work,
        settings,
        name,
        preload=("retouch.bootstrap.worker", __name__, family),
        forks=settings.weights == "toy" or may_fork(settings.device),
    )
    return Supervisor(
        nursery.spawn,
        lambda loss: store.release(name, loss=loss),
        clock=CLOCK,
        grace_s=settings.drain_s + 5,
    )


def may_fork(
    device: str, drivers: Sequence[str] = DRIVERS, tools: Sequence[str] = ("nvidia-smi",)
) -> bool:
    """Whether the worker of a device may be forked from a server that has imported the model code.

    Not where it may use CUDA: diffusers asks the driver for its devices while it is imported, and a
    driver that was asked anything works in no process forked afterwards. `tools` are programs that
    come with a driver, whose files may appear only once it is used.
    """
    if device != "auto":
        return not device.startswith("cuda")
    return not any(map(shutil.which, tools)) and not any(Path(it).exists() for it in drivers)


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
