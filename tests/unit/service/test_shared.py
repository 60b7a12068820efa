"""One look for everybody who asks at once."""

import asyncio

import pytest

from retouch.service.shared import Shared


class Slow:
    """A look-up that answers when told."""

    def __init__(self) -> None:
        self.looks = 0
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def look(self) -> str:
        self.looks += 1
        return await asyncio.shield(self.answer)


async def asking(shared: Shared[str], slow: Slow) -> asyncio.Task[str]:
    task = asyncio.create_task(shared.get("key", slow.look))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # now it waits
    return task


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    shared, slow = Shared[str](), Slow()
    first, second = await asking(shared, slow), await asking(shared, slow)

    first.cancel()
    slow.answer.set_result("here")

    assert await second == "here"
    assert slow.looks == 1


async def test_an_error_reaches_everybody_and_is_not_kept() -> None:
    shared, slow = Shared[str](), Slow()
    both = [await asking(shared, slow), await asking(shared, slow)]

    slow.answer.set_exception(OSError("away"))

    for task in both:
        with pytest.raises(OSError, match="away"):
            await task
    again = Slow()
    again.answer.set_result("back")
    assert await shared.get("key", again.look) == "back"
