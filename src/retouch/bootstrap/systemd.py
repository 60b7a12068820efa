"""Tells the service manager that this process is ready, and that it still runs: sd_notify(3).

Nobody else watches the first web process. What is told comes from the loop that answers callers, so
of one that hangs nothing is heard, and systemd starts the service again.
"""

import socket

import structlog

from retouch.service.periodic import Periodic
from retouch.settings import Overseer

log = structlog.get_logger(__name__)

READY, ALIVE = "READY=1", "WATCHDOG=1"


def tell(overseer: Overseer, state: str) -> None:
    """Send one line. That nobody takes it is a warning: the address may be another service's."""
    address = overseer.address
    if address.startswith("@"):  # of no file
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            sending.setblocking(False)
            sending.sendto(state.encode(), address)
    except OSError as error:
        log.warning("systemd.not_told", state=state, error=str(error))


def signs_of_life(overseer: Overseer | None) -> list[Periodic]:
    """Says so three times in the span that the overseer bears silence; nothing unless it asks."""
    if overseer is None or overseer.patience_s is None:
        return []

    async def live() -> None:
        tell(overseer, ALIVE)

    return [Periodic("watchdog", live, every_s=overseer.patience_s / 3)]
