"""Creates whose callers went away before the answer: what they send again is no new create.

Some clients repeat a create at once when its connection breaks, and do not say so. Two equal
creates are two predictions; but one whose caller no longer listens, followed by its equal, is one.
What is known of them is this process's: of several, another does not know the repetition again
(docs/decisions/0007-unsaid-repetitions-in-memory.md).
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

TURNS = 3  # of the loop, in which a closed connection is reported
KEEP_S = 10.0
"""How long an answer that nobody heard waits for the create to be sent again."""


@dataclass(eq=False, slots=True)
class Create:
    """One create on its way: whether its caller went, and its prediction is on disk by now."""

    is_gone: Callable[[], bool]
    accepted: asyncio.Event = field(default_factory=asyncio.Event)


class Unheard:
    """The creates being answered, by fingerprint, and those answered in vain a moment ago."""

    def __init__(self, keep_s: float = KEEP_S) -> None:
        self._keep_s = keep_s
        self._creates: dict[str, list[Create]] = {}

    async def repeats(self, fingerprint: str) -> bool:
        """Whether an equal create has lost its caller; if so its prediction is on disk."""
        if fingerprint not in self._creates:
            return False
        # A connection's end that came before this request may lie behind it in the loop's queue.
        for _ in range(TURNS):
            await asyncio.sleep(0)
        gone = (it for it in self._creates.get(fingerprint, ()) if it.is_gone())
        create = next(gone, None)
        if create is not None:
            await create.accepted.wait()
        return create is not None

    @contextmanager
    def answering(self, fingerprint: str, is_gone: Callable[[], bool]) -> Iterator[Create]:
        """While a create is answered; `accepted` is to be set once its prediction is on disk."""
        create = Create(is_gone)
        self._creates.setdefault(fingerprint, []).append(create)
        try:
            yield create
        finally:
            create.accepted.set()
            if is_gone():
                loop = asyncio.get_running_loop()
                loop.call_later(self._keep_s, self._forget, fingerprint, create)
            else:
                self._forget(fingerprint, create)

    def _forget(self, fingerprint: str, create: Create) -> None:
        creates = self._creates[fingerprint]
        creates.remove(create)
        if not creates:
            del self._creates[fingerprint]
