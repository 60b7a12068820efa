"""Telling a caller that went away from one whose connection ended because it was answered."""

import asyncio
from dataclasses import dataclass

from retouch.web.unheard import Unheard


@dataclass
class Connection:
    """What says whether it has ended."""

    is_over: bool = False

    def __call__(self) -> bool:
        return self.is_over


async def test_an_equal_create_that_was_answered_meanwhile_is_no_reason_to_merge() -> None:
    unheard, connection = Unheard(), Connection()

    async def answered() -> None:
        with unheard.answering("same", connection):
            await asyncio.sleep(0)

    first = asyncio.create_task(answered())
    await asyncio.sleep(0)
    second = asyncio.create_task(unheard.repeats("same"))
    await first
    connection.is_over = True

    assert await second is False


async def test_an_equal_create_whose_caller_went_away_is() -> None:
    unheard, connection = Unheard(), Connection()

    with unheard.answering("same", connection) as create:
        connection.is_over = True
        create.accepted.set()

        assert await unheard.repeats("same") is True
        connection.is_over = False


async def test_an_end_that_is_reported_while_we_look_counts() -> None:
    unheard, connection = Unheard(), Connection()

    with unheard.answering("same", connection) as create:
        create.accepted.set()
        asyncio.get_running_loop().call_soon(setattr, connection, "is_over", True)

        assert await unheard.repeats("same") is True
        connection.is_over = False
