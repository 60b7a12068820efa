"""Finished pictures decoded on a thread beside the one that steps."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from retouch.domain.picture import Picture

Decode = Callable[[Any], Picture]
"""A family's decoding of a finished session, as its `close`. Called beside its other verbs."""

Key = tuple[str, int]
"""A picture: its job, and its number there."""


class Behind:
    """Has pictures decoded while others step. Called from the thread that steps."""

    def __init__(self, decode: Decode, executor: Executor) -> None:
        self._decode = decode
        self._executor = executor
        self._begun: dict[Key, Future[Picture]] = {}

    def begin(self, key: Key, session: Any) -> None:
        """Have a session decoded, after those begun before it."""
        self._begun[key] = self._executor.submit(self._decode, session)

    def over(self) -> list[Key]:
        """Those that are decoded, or failed, and were not taken; in the order they were begun."""
        return [key for key, future in self._begun.items() if future.done()]

    def wait(self) -> list[Key]:
        """The same, once there is one; none where nothing was begun."""
        for future in self._begun.values():
            future.exception()
            break
        return self.over()

    def take(self, key: Key) -> Picture:
        """A picture that is decoded; raises what its decoding raised."""
        return self._begun.pop(key).result()

    def forget(self, job: str) -> None:
        """Decode none of a job's pictures any more. One under way is waited for: what it takes is
        not free before."""
        for key in [key for key in self._begun if key[0] == job]:
            future = self._begun.pop(key)
            if not future.cancel():
                future.exception()
