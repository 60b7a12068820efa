"""Connections that send an answer in one piece.

uvicorn writes the head of an answer and then its body, and each write is a call of the system, a
packet, and a wake-up of whoever reads it.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 65_536
"""Of more than this nothing is held back, so that a slow reader is noticed."""


class Corked:
    """A transport that sends together what is written in one turn of the event loop."""

    __slots__ = ("_loop", "_pieces", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Send this before the next turn."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > MOST_BYTES:
            self.flush()
        elif len(self._pieces) == 1:
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what was written."""
        if self._pieces and not self._transport.is_closing():
            self._transport.writelines(self._pieces)
        self._pieces, self._size = [], 0

    def close(self) -> None:
        """Close once everything is sent."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CorkedHttp(HttpToolsProtocol):
    """uvicorn's HTTP on corked connections."""

    # uvicorn narrows its base class's transport in the same way.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Corked(transport, self.loop)))
