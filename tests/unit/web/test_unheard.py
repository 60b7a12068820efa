"""Telling a caller that went away from one whose connection ended because it was answered."""

import asyncio
from typing import Any, cast

from starlette.requests import Request

from retouch.web.unheard import Unheard


class Connection:
    """A request that says it has ended, once somebody has let it look."""

    def __init__(self) -> None:
        self.is_over = False
        self.looked, self.may_tell = asyncio.Event(), asyncio.Event()

    async def is_disconnected(self) -> bool:
        if not self.is_over:
            return False
        self.looked.set()
        await self.may_tell.wait()
        return True


def request(connection: Connection) -> Request:
    return cast(Request, cast(Any, connection))


async def test_an_equal_create_that_was_answered_meanwhile_is_no_reason_to_merge() -> None:
    unheard, connection, answered = Unheard(), Connection(), asyncio.Event()

    async def create() -> None:
        async with unheard.answering("same", request(connection)):
            await answered.wait()
            connection.is_over = False

    first = asyncio.create_task(create())
    await asyncio.sleep(0)
    connection.is_over = True
    second = asyncio.create_task(unheard.repeats("same"))
    await connection.looked.wait()
    answered.set()
    await first
    connection.may_tell.set()

    assert await second is False


async def test_an_equal_create_whose_caller_went_away_is() -> None:
    unheard, connection = Unheard(), Connection()

    async with unheard.answering("same", request(connection)) as create:
        connection.is_over = True
        connection.may_tell.set()
        create.accepted.set()

        assert await unheard.repeats("same") is True
        connection.is_over = False
