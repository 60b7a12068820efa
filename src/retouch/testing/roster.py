"""The roster in memory."""

from collections.abc import Sequence

from retouch.ports import Clock, Enlisted, Roster


class MemoryRoster(Roster):
    """Processes in a dictionary."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._roster: dict[str, tuple[float, Enlisted]] = {}

    async def enlist(self, process: Enlisted) -> None:
        self._roster[process.name] = (self._clock.now(), process)

    async def strike(self, name: str) -> None:
        self._roster.pop(name, None)

    async def strike_silent(self, *, for_s: float) -> None:
        since = self._clock.now() - for_s
        self._roster = {name: it for name, it in self._roster.items() if it[0] >= since}

    async def enlisted(self, *, within_s: float) -> Sequence[Enlisted]:
        since = self._clock.now() - within_s
        return [it for _, (at, it) in sorted(self._roster.items()) if at >= since]
