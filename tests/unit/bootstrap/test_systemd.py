"""What is told to systemd, and where it is not there."""

import os
import socket
from pathlib import Path

from structlog.testing import capture_logs

from retouch.bootstrap.systemd import READY, signs_of_life, tell
from retouch.settings import Overseer, overseen_by


def test_a_line_is_sent_to_a_file_or_to_a_name_without_one(tmp_path: Path) -> None:
    name = f"@retouch-test-{os.getpid()}"
    for address, bound in ((str(tmp_path / "n"), str(tmp_path / "n")), (name, f"\0{name[1:]}")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(bound)
            listening.settimeout(60)
            tell(Overseer(address, None), READY)

            assert listening.recv(100) == b"READY=1"


def test_that_nobody_listens_is_a_warning(tmp_path: Path) -> None:
    with capture_logs() as logs:
        tell(Overseer(str(tmp_path / "nobody"), None), READY)

    assert [it["event"] for it in logs] == ["systemd.not_told"]


def test_a_watchdog_is_for_the_process_it_names_alone() -> None:
    asked = {"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "9000000"}

    assert overseen_by({}) is None
    assert overseen_by({**asked, "NOTIFY_SOCKET": "vsock:2:1"}) is None
    assert overseen_by({**asked, "WATCHDOG_PID": "1"}) == Overseer("/run/n", None)
    assert overseen_by({**asked, "WATCHDOG_PID": str(os.getpid())}) == Overseer("/run/n", 9.0)
    assert signs_of_life(None) == signs_of_life(Overseer("/run/n", None)) == []
