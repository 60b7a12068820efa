"""Connections that are used again are as many in every process, whatever becomes of a process."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from functools import wraps
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from retouch.web.server import WebServer, listen
from retouch.web.sharing import MOST_UNDER_WAY, Share, shares

# -- who gives to whom -----------------------------------------------------------------------------


def settle(parts: Sequence[Share]) -> None:
    """Answer on every connection again and again, until nobody gives any more."""
    with closing(socket.socket()) as connection:
        is_moving = True
        while is_moving:
            is_moving = False
            for part in parts:
                for _ in range(part.kept * len(parts)):
                    needy = part.needy()
                    is_moving |= needy is not None and part.give(connection.fileno(), needy)
            for part in parts:
                take(part)


def take(part: Share) -> None:
    for connection in part.handed():
        connection.close()
        part.count(1)


@given(st.lists(st.integers(0, 64), min_size=2, max_size=5))
def test_they_come_to_differ_by_one_at_most(kept: list[int]) -> None:
    with shares(len(kept)) as parts:
        for part, count in zip(parts, kept, strict=True):
            part.take_part(True)
            part.count(count)

        settle(parts)

        after = [part.kept for part in parts]
        assert sum(after) == sum(kept)
        assert max(after) - min(after) <= 1


@pytest.fixture
def pair() -> Iterator[Sequence[Share]]:
    with shares(2) as parts:
        for part in parts:
            part.take_part(True)
        yield parts


def give(giver: Share) -> int:
    """How many it gives while nobody takes any."""
    with closing(socket.socket()) as connection:
        needy = [it for it in (giver.needy(), giver.needy()) if it is not None]
        given = 0
        while needy and giver.give(connection.fileno(), needy[0]):
            given += 1
        return given


@pytest.mark.parametrize(
    ("kept", "other", "given"),
    [(33, 32, 0), (33, 31, 1), (39, 25, 7), (64, 0, MOST_UNDER_WAY)],
)
def test_no_more_are_under_way_than_make_it_even(
    pair: Sequence[Share], kept: int, other: int, given: int
) -> None:
    pair[0].count(kept)
    pair[1].count(other)

    assert give(pair[0]) == given


def test_a_process_that_takes_none_is_given_none(pair: Sequence[Share]) -> None:
    pair[0].count(64)
    pair[1].take_part(False)

    assert give(pair[0]) == 0


def test_what_a_dead_process_had_not_taken_is_there_and_the_next_one_gets_its_part(
    pair: Sequence[Share],
) -> None:
    first, dead = pair
    first.count(40)
    dead.count(24)
    give(first)

    left = dead.reclaim()

    assert len(left) == MOST_UNDER_WAY
    for connection in left:
        connection.close()
        first.count(1)
    assert dead.kept == 0
    assert give(first) == 0
    dead.take_part(True)
    settle(pair)
    assert [it.kept for it in pair] == [20, 20]


# -- connections of real servers -------------------------------------------------------------------


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on the loop of servers: what is written there leaves when the turn ends."""

    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        uvloop.run(asyncio.wait_for(test(*arguments, **named), 60))

    return run


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """A server has Python look for cycles seldom; give that back."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


async def numbered(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the path, the body, and as many bytes as the query says."""
    body, is_more = b"", scope["type"] == "http"
    while is_more:
        message = await receive()
        body, is_more = body + message["body"], message["more_body"]
    answer = scope.get("path", "").encode() + body + bytes(int(scope.get("query_string") or 0))
    head = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": answer})


@asynccontextmanager
async def serving(part: Share) -> AsyncIterator[WebServer]:
    """A server with its share, at an address of its own."""
    ready = asyncio.Event()
    with listen("127.0.0.1", 0) as (listening,):
        server = WebServer(numbered, listening, part, on_ready=lambda _: ready.set())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.run_until_exit())
            await ready.wait()
            yield server
            server.should_exit = True


class Caller:
    """A connection to a server that stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, path: str, body: bytes = b"") -> bytes:
        self.send(request(path, body))
        return await self.answer()

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def answer(self) -> bytes:
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        return await self._reader.readexactly(length)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def request(path: str, body: bytes = b"") -> bytes:
    return b"POST %s HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (path.encode(), len(body), body)


@asynccontextmanager
async def calls(server: WebServer, connections: int) -> AsyncIterator[Sequence[Caller]]:
    """So many connections, closed at the end."""
    (listening,) = server.servers
    address = listening.sockets[0].getsockname()
    callers = [Caller(*await asyncio.open_connection(*address)) for _ in range(connections)]
    try:
        yield callers
    finally:
        await asyncio.gather(*(caller.close() for caller in callers))


def count(server: WebServer) -> int:
    return len(server.server_state.connections)


async def until(happened: Callable[[], bool]) -> None:
    while not happened():  # noqa: ASYNC110  counts are looked at, they tell nobody
        await asyncio.sleep(0)


@on_uvloop
async def test_what_comes_to_one_process_is_shared_and_every_request_answered(
    pair: Sequence[Share],
) -> None:
    async with serving(pair[0]) as here, serving(pair[1]) as there:
        async with calls(here, 64) as callers:
            while [part.kept for part in pair] != [32, 32]:
                paths = [f"/{number}" for number in range(64)]
                pairs = zip(callers, paths, strict=True)
                answers = await asyncio.gather(*(caller.ask(path) for caller, path in pairs))
                assert answers == [path.encode() for path in paths]

            await until(lambda: (count(here), count(there)) == (32, 32))
        await until(lambda: [part.kept for part in pair] == [0, 0])


@on_uvloop
async def test_a_connection_that_is_used_once_stays_and_does_not_count(
    pair: Sequence[Share],
) -> None:
    async with serving(pair[0]) as here, serving(pair[1]) as there:
        for _ in range(3):
            async with calls(here, 8) as callers:
                await asyncio.gather(*(caller.ask("/") for caller in callers))

                assert (count(here), count(there)) == (8, 0)
                assert pair[0].kept == 0
            await until(lambda: count(here) == 0)


@on_uvloop
async def test_however_requests_arrive_they_are_answered_in_order_while_it_moves(
    pair: Sequence[Share],
) -> None:
    whole = request("/1", b"body") + request("/2") + request("/3", b"more")
    async with serving(pair[0]) as here, serving(pair[1]) as there, calls(here, 1) as (caller,):
        has_it, gets_it = (pair[0], here), (pair[1], there)
        for cut in range(0, len(whole), 4):
            part, _ = has_it
            part.count(100)  # too many, it thinks
            caller.send(whole[:cut])
            await asyncio.sleep(0)
            caller.send(whole[cut:])

            assert await caller.answer() == b"/1body"
            assert await caller.answer() == b"/2"
            assert await caller.answer() == b"/3more"
            await until(lambda server=gets_it[1]: count(server) == 1)
            part.count(-100)
            has_it, gets_it = gets_it, has_it


@on_uvloop
async def test_an_answer_is_sent_whole_before_its_connection_moves(
    pair: Sequence[Share],
) -> None:
    size = 20_000_000  # more than the system holds for a reader
    async with serving(pair[0]) as here, serving(pair[1]) as there, calls(here, 1) as (caller,):
        await caller.ask("/")
        await caller.ask("/")
        pair[0].count(100)

        assert len(await caller.ask(f"/?{size}")) == size + 1
        assert await caller.ask("/next") == b"/next"
        await until(lambda: count(there) == 1)


@on_uvloop
async def test_what_a_process_was_handed_and_did_not_take_is_answered_by_another(
    pair: Sequence[Share],
) -> None:
    async with serving(pair[0]) as here, calls(here, 4) as callers:  # the other one hangs
        for _ in range(3):
            await asyncio.gather(*(caller.ask("/") for caller in callers))
        await until(lambda: count(here) == 2)

        answers = [asyncio.create_task(caller.ask("/again")) for caller in callers]
        for connection in pair[1].reclaim():
            here.adopt(connection)

        assert await asyncio.gather(*answers) == [b"/again"] * 4
        assert (count(here), pair[0].kept) == (4, 4)


@on_uvloop
async def test_none_is_handed_to_a_process_that_stops(pair: Sequence[Share]) -> None:
    async with serving(pair[0]) as here, serving(pair[1]) as there, calls(here, 4) as callers:
        there.stand_aside()

        for _ in range(5):
            await asyncio.gather(*(caller.ask("/") for caller in callers))

        assert (count(here), count(there)) == (4, 0)
