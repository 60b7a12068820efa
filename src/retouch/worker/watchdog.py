"""Ends this process when a step of the engine hangs, so that its supervisor starts another.

A hung device answers no exception and may keep the interpreter's lock, so no thread of ours could
be trusted to notice: the alarm is the kernel's. SIGALRM is left to its default action and ends the
process wherever it hangs; just before, the stacks of all threads go to standard error.
"""

import faulthandler
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

EXITCODE = -signal.SIGALRM
"""The exit code of a process that a watchdog ended, as `multiprocessing` tells it."""

NOTICE_S = 0.2
"""How long before the end the stacks are written."""


@dataclass(frozen=True, slots=True)
class Watchdog:
    """Allows a step `floor_s` more than `factor` times what its like took.

    Before anything was timed it allows `unknown` floors: a first pass may have to warm up, and
    nobody knows how large the model is. A floor of 0 watches nothing.
    """

    floor_s: float = 60.0
    factor: float = 20.0
    unknown: float = 10.0

    def limit_s(self, expected_s: float | None) -> float:
        """How long a step may take."""
        if expected_s is None:
            return self.unknown * self.floor_s
        return self.floor_s + self.factor * expected_s

    @contextmanager
    def over(self, expected_s: float | None) -> Iterator[None]:
        """Watch one step. One at a time in a process: there is one alarm."""
        if not self.floor_s:
            yield
            return
        limit_s = self.limit_s(expected_s)
        faulthandler.dump_traceback_later(max(limit_s - NOTICE_S, limit_s / 2))
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()


UNWATCHED = Watchdog(floor_s=0.0)
"""Lets a step take for ever."""
