"""Connections that stay open, spread evenly over the web processes of one address.

The kernel deals new connections by chance: of two processes one may get half as many again as the
other, and its callers then wait half as long again. So a connection that is used again counts, and
after an answer it is handed to a process that has at least two fewer. One that is used only once
costs nothing.

A connection that was handed over waits in a socket whose both ends outlive the process, so it is
not lost when that dies. Few may wait there, so a process that hangs holds up few.
"""

import ctypes
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.sharedctypes import RawArray
from typing import Any

from retouch.web.corking import CorkedHttp

MOST_UNDER_WAY = 8
"""How many connections may be on their way to one process."""

CLOSED_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # macOS has no such flag


class Counts:
    """What the processes say of themselves, each at its number, in memory that all share.

    Each writes its own numbers only; those of one that died are written by the first.
    """

    def __init__(self, processes: int) -> None:
        self.is_open = RawArray(ctypes.c_bool, processes)  # whether it takes connections
        self.kept = RawArray(ctypes.c_int64, processes)  # how many it has that are used again
        self.taken = RawArray(ctypes.c_int64, processes)  # how many it took out of its inlet, ever
        self.given = RawArray(ctypes.c_int64, processes**2)  # ever, in a row of each giver


class Share:
    """The connections of one web process, beside those of the others."""

    def __init__(
        self,
        number: int,
        counts: Counts,
        inlet: socket.socket,
        outlets: Sequence[socket.socket],
    ) -> None:
        """`outlets` lead to the inlet of each process, by its number."""
        self.inlet = inlet  # readable when connections were handed to this process
        self._number, self._counts, self._outlets = number, counts, outlets
        self._kept = counts.kept
        self._others = [it for it in range(len(outlets)) if it != number]
        self._turn = 0

    @property
    def kept(self) -> int:
        """How many connections this process has that are used again and again."""
        return self._kept[self._number]

    def count(self, change: int) -> None:
        """Have so many more of them, or fewer."""
        self._kept[self._number] += change

    def take_part(self, is_open: bool) -> None:
        """Have connections handed to this process from now on, or none."""
        self._counts.is_open[self._number] = is_open

    def needy(self) -> int | None:
        """The number of a process that should have one of ours. Looks at one other, in turn."""
        self._turn = (self._turn + 1) % len(self._others)
        other = self._others[self._turn]
        return other if self._is_needy(other) else None

    def _is_needy(self, other: int) -> bool:
        spare = self._kept[self._number] - self._kept[other]
        if spare < 2 or not self._counts.is_open[other]:
            return False
        under_way = sum(self._counts.given[other :: len(self._outlets)]) - self._counts.taken[other]
        return under_way < min(MOST_UNDER_WAY, spare - 1)

    def give(self, descriptor: int, number: int) -> bool:
        """Hand a connection over, if that process should still have one; whether it was."""
        if not self._is_needy(number):
            return False
        try:
            socket.send_fds(self._outlets[number], [b"\0"], [descriptor])
        except OSError:  # the system lets no more be under way
            return False
        self._counts.given[self._number * len(self._outlets) + number] += 1
        self.count(-1)
        return True

    def handed(self) -> Iterator[socket.socket]:
        """The connections that others handed to this process; count each before the next."""
        with suppress(BlockingIOError):
            while True:
                byte, found, *_ = socket.recv_fds(self.inlet, 1, 1, CLOSED_ON_EXEC)
                if not byte:  # nobody is left
                    return
                for descriptor in found:  # none if this process may open no more: it is closed
                    yield socket.socket(fileno=descriptor)
                self._counts.taken[self._number] += 1

    def reclaim(self) -> Sequence[socket.socket]:
        """What a process that died had not taken. The next one starts with nothing."""
        self.take_part(False)
        left = list(self.handed())
        self.count(-self.kept)
        return left


@contextmanager
def shares(processes: int) -> Iterator[Sequence[Share]]:
    """The shares of so many processes, for each to be given its own."""
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(processes)]
        for it in (end for pair in pairs for end in pair):
            stack.enter_context(it).setblocking(False)
        counts, outlets = Counts(processes), [outlet for _, outlet in pairs]
        yield [Share(number, counts, inlet, outlets) for number, (inlet, _) in enumerate(pairs)]


class SharedHttp(CorkedHttp):
    """uvicorn's HTTP on a connection that may be handed to another process between two requests."""

    def __init__(self, share: Share, *, is_kept: bool = False, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._share, self._is_kept = share, is_kept
        self._is_used = is_kept  # for one request at least

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_kept:
            other = self._share.needy()
            if other is not None and self._may_move():
                self.flow.pause_reading()  # what comes now is for the other to read
                self.transport.flush()  # type: ignore[attr-defined]  # it is corked
                self.loop.call_soon(self._hand_over, other)  # when that is sent
        elif not self._is_used:
            self._is_used = True
        elif not self.transport.is_closing():
            self._is_kept = True
            self._share.count(1)

    def _may_move(self) -> bool:
        """Whether all that was read is answered: no request waits, and none has begun."""
        last = self.cycle
        is_answered = last.response_complete and not last.more_body
        return is_answered and last.scope is self.scope and not self.transport.is_closing()

    def _hand_over(self, other: int) -> None:
        if self.transport.is_closing():
            return
        descriptor = self.transport.get_extra_info("socket").fileno()
        if not self.transport.get_write_buffer_size() and self._share.give(descriptor, other):
            self._is_kept = False
            self.transport.abort()  # closes our descriptor, not the connection
        else:
            self.flow.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._is_kept:
            self._is_kept = False
            self._share.count(-1)
