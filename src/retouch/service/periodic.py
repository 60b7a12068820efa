"""Something done again and again in the background; a turn that fails is logged and repeated."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)


class Periodic:
    """Runs `turn` at once and then every `every_s` seconds. Safe to stop twice."""

    def __init__(self, name: str, turn: Callable[[], Awaitable[object]], *, every_s: float) -> None:
        self._name, self._turn, self._every_s = name, turn, every_s
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Stop, in the middle of a turn if need be."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._turn()
            except Exception:
                log.exception("periodic.turn_failed", name=self._name)
            await asyncio.sleep(self._every_s)
