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


class Load(ctypes.Structure):
    """What a process says of itself in memory that all share; only it writes, while it lives."""

    is_open: bool  # whether it takes connections
    kept: int  # how many it has that are used again and again
    taken: int  # how many that were handed to it were taken out of its inlet, ever
    _fields_ = (
        ("is_open", ctypes.c_bool),
        ("kept", ctypes.c_int64),
        ("taken", ctypes.c_int64),
    )


class Share:
    """The connections of one web process, beside those of the others."""

    def __init__(
        self,
        number: int,
        loads: Sequence[Load],
        given: "ctypes.Array[ctypes.c_int64]",
        inlet: socket.socket,
        outlets: Sequence[socket.socket],
    ) -> None:
        """`outlets` lead to the inlet of each process, by its number.

        `given` is how many connections were ever handed over: row by row, who gave; and to whom.
        """
        self._number, self._loads, self._given = number, loads, given
        self._inlet, self._outlets = inlet, outlets
        self._others = [it for it in range(len(loads)) if it != number]
        self._turn = 0

    @property
    def load(self) -> Load:
        """This process's own."""
        return self._loads[self._number]

    @property
    def inlet(self) -> socket.socket:
        """Readable when connections were handed to this process."""
        return self._inlet

    def needy(self) -> int | None:
        """The number of a process that should have one of ours. Looks at one other, in turn."""
        self._turn = (self._turn + 1) % len(self._others)
        other = self._others[self._turn]
        return other if self._is_needy(other) else None

    def _is_needy(self, number: int) -> bool:
        other = self._loads[number]
        spare = self.load.kept - other.kept
        if spare < 2 or not other.is_open:
            return False
        under_way = sum(self._given[number :: len(self._loads)]) - other.taken
        return under_way < min(MOST_UNDER_WAY, spare - 1)

    def give(self, descriptor: int, number: int) -> bool:
        """Hand a connection over, if that process should still have one; whether it was."""
        if not self._is_needy(number):
            return False
        try:
            socket.send_fds(self._outlets[number], [b"\0"], [descriptor])
        except OSError:  # the system lets no more be under way
            return False
        self._given[self._number * len(self._loads) + number] += 1
        self.load.kept -= 1
        return True

    def handed(self) -> Iterator[socket.socket]:
        """The connections that others handed to this process; count each before the next."""
        with suppress(BlockingIOError):
            while True:
                byte, found, *_ = socket.recv_fds(self._inlet, 1, 1, CLOSED_ON_EXEC)
                if not byte:  # nobody is left
                    return
                for descriptor in found:  # none if this process may open no more: it is closed
                    yield socket.socket(fileno=descriptor)
                self.load.taken += 1

    def reclaim(self) -> Sequence[socket.socket]:
        """What a process that died had not taken. The next one starts with nothing."""
        self.load.is_open = False
        left = list(self.handed())
        self.load.kept = 0
        return left


@contextmanager
def shares(processes: int) -> Iterator[Sequence[Share]]:
    """The shares of so many processes, for each to be given its own."""
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(processes)]
        for it in (end for pair in pairs for end in pair):
            stack.enter_context(it).setblocking(False)
        loads: Any = RawArray(Load, processes)
        given = RawArray(ctypes.c_int64, processes * processes)
        outlets = [outlet for _, outlet in pairs]
        yield [Share(number, loads, given, it, outlets) for number, (it, _) in enumerate(pairs)]


class SharedHttp(CorkedHttp):
    """uvicorn's HTTP on a connection that may be handed to another process between two requests."""

    def __init__(self, share: Share, *, is_kept: bool = False, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._share, self._is_kept = share, is_kept
        self._is_used = is_kept  # for one request at least
        self._is_between = True  # no part of a request was read that is not whole

    def on_message_begin(self) -> None:
        self._is_between = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._is_between = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if not self._is_used:
            self._is_used = True
            return
        if not self._is_kept:
            self._is_kept = True
            self._share.load.kept += 1
        other = self._share.needy()
        if other is not None and self._is_between and self.cycle.response_complete:
            self.flow.pause_reading()  # what comes now is for the other to read
            self.transport.flush()  # type: ignore[attr-defined]  # it is corked
            self.loop.call_soon(self._hand_over, other)  # when that is sent

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
            self._share.load.kept -= 1
