"""Creates whose callers went away before the answer: what they send again is no new create.

Some clients repeat a create at once when its connection breaks, and do not say so. Two equal
creates are two predictions; but one whose caller no longer listens, followed by its equal, is one.
This process's memory is enough: a repetition comes within milliseconds, to whoever answers.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

KEEP_S = 10.0
"""How long an answer that nobody heard waits for the create to be sent again."""


@dataclass(eq=False, slots=True)
class Create:
    """One create on its way: who listens, and whether its prediction is on disk by now."""

    request: Request
    accepted: asyncio.Event = field(default_factory=asyncio.Event)


class Unheard:
    """The creates being answered, by fingerprint, and those answered in vain a moment ago."""

    def __init__(self, keep_s: float = KEEP_S) -> None:
        self._keep_s = keep_s
        self._creates: dict[str, list[Create]] = {}

    async def repeats(self, fingerprint: str) -> bool:
        """Whether an equal create has lost its caller; if so its prediction is on disk."""
        for create in tuple(self._creates.get(fingerprint, ())):
            is_gone = await create.request.is_disconnected()
            # One that left the list while we looked was heard: its connection has simply ended.
            if is_gone and create in self._creates.get(fingerprint, ()):
                await create.accepted.wait()
                return True
        return False

    @asynccontextmanager
    async def answering(self, fingerprint: str, request: Request) -> AsyncIterator[Create]:
        """While a create is answered; `accepted` is to be set once its prediction is on disk."""
        create = Create(request)
        self._creates.setdefault(fingerprint, []).append(create)
        try:
            yield create
        finally:
            create.accepted.set()
            if await request.is_disconnected():
                loop = asyncio.get_running_loop()
                loop.call_later(self._keep_s, self._forget, fingerprint, create)
            else:
                self._forget(fingerprint, create)

    def _forget(self, fingerprint: str, create: Create) -> None:
        creates = self._creates[fingerprint]
        creates.remove(create)
        if not creates:
            del self._creates[fingerprint]
