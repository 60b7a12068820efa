"""The watchdog in processes of their own: the alarm ends whoever hangs."""

import subprocess
import sys

import pytest

from retouch.worker.watchdog import EXITCODE, Watchdog

HANG = """
import ctypes
from retouch.worker.watchdog import Watchdog
with Watchdog(floor_s=0.3).over(0.0):
    ctypes.PyDLL(None).sleep(60)  # keeps the interpreter's lock, as a hung driver may
"""

RETURNS = """
from retouch.worker.watchdog import Watchdog
with Watchdog(floor_s={floor_s}).over(0.0):
    pass
__import__("time").sleep(1.2)
"""


def ran(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  our own code
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_hung_step_ends_the_process_with_its_own_code_and_shows_where_it_hung():
    process = ran(HANG)

    assert process.returncode == EXITCODE
    assert 'File "<string>", line 5' in process.stderr


@pytest.mark.parametrize("floor_s", [1.0, 0.0])
def test_a_step_that_returns_disarms_it(floor_s: float):
    assert ran(RETURNS.format(floor_s=floor_s)).returncode == 0


def test_the_limit_grows_with_what_a_step_should_take():
    watchdog = Watchdog(floor_s=60, factor=20, unknown=10)

    assert watchdog.limit_s(0.5) == 70
    assert watchdog.limit_s(None) == 600
