"""One answer for everybody who asks the same while it is being looked up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Shared(Generic[V]):
    """Looks up by key; whoever asks for a key that is being looked up waits for that look."""

    def __init__(self) -> None:
        self._looks: dict[str, asyncio.Task[V]] = {}

    async def get(self, key: str, look_up: Callable[[], Awaitable[V]]) -> V:
        """What the look that is under way finds, or else `look_up`; raises what it raises.

        A caller that gives up stops nobody else's look.
        """
        task = self._looks.get(key)
        if task is None:

            async def look() -> V:
                try:
                    return await look_up()
                finally:
                    del self._looks[key]

            task = self._looks[key] = asyncio.create_task(look())
        return await asyncio.shield(task)
