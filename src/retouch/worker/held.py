"""A prediction that a worker holds: its fence, and how far the attempt got."""

import asyncio
from dataclasses import dataclass, replace

from retouch.domain.picture import Picture
from retouch.domain.prediction import Fence, Prediction, Progress
from retouch.images.masked import Masked
from retouch.worker.trace import RunTrace


@dataclass(slots=True, eq=False)
class Held:
    """One attempt at a prediction, from its claim until it is settled, given back or lost."""

    prediction: Prediction
    fence: Fence
    trace: RunTrace
    progress: Progress | None = None
    previews: int = 0  # stored so far
    previewing: asyncio.Task[None] | None = None  # stores the newest, after those before it
    notes: str = ""  # lines of our own for the logs
    masked: Masked | None = None  # what the pictures made are laid over

    @property
    def job_id(self) -> str:
        """The engine's id for it, with the attempt: the id may return while it is dropped."""
        return f"{self.prediction.id}/{self.fence.attempt}"

    @property
    def news(self) -> tuple[int, Progress | None]:
        """The attempt and the progress that a beat publishes."""
        progress = self.progress and replace(self.progress, previews=self.previews)
        return self.fence.attempt, progress

    @property
    def facts(self) -> dict[str, str | int]:
        """The fields of each log line about this prediction."""
        return {
            "prediction": self.prediction.id,
            "attempt": self.fence.attempt,
            "worker": self.fence.worker,
            "request": self.prediction.request,
        }

    def logs(self, engine: str) -> str:
        """The engine's lines with ours after the first, which names the seed."""
        first, newline, rest = engine.partition("\n")
        return f"{first}{newline}{self.notes}{rest}"

    async def finished(self, picture: Picture) -> Picture:
        """A picture of the engine's as its caller is to see it."""
        if self.masked is None:
            return picture
        return await asyncio.to_thread(self.masked.restored, picture)
