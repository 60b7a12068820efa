"""What is written in one turn is sent at once, and nothing is held back for longer."""

import asyncio
from collections.abc import Iterable
from typing import cast

from retouch.web.corking import MOST_BYTES, Corked


class Wire:
    """A transport that knows what was sent together."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_closed = False

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.sent.append(b"".join(pieces))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


def corked(wire: Wire) -> Corked:
    return Corked(cast(asyncio.Transport, wire), asyncio.get_running_loop())


async def test_the_pieces_of_one_turn_are_sent_together() -> None:
    wire = Wire()
    connection = corked(wire)

    connection.write(b"head ")
    connection.write(b"body")
    assert wire.sent == []
    await asyncio.sleep(0)
    connection.write(b"event")
    await asyncio.sleep(0)

    assert wire.sent == [b"head body", b"event"]


async def test_much_is_sent_at_once() -> None:
    wire = Wire()
    connection = corked(wire)

    connection.write(b"head")
    connection.write(b"x" * MOST_BYTES)

    assert [len(it) for it in wire.sent] == [4 + MOST_BYTES]


async def test_what_was_written_is_sent_before_the_end_and_nothing_after_it() -> None:
    wire = Wire()
    connection = corked(wire)

    connection.write(b"last")
    connection.close()
    connection.write(b"too late")
    await asyncio.sleep(0)

    assert wire.sent == [b"last"]
    assert connection.is_closing()
