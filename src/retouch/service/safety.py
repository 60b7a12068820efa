"""A worker's checks of prompts and pictures, put together.

A check refuses by a prediction's safety tolerance, 0 (strict) to 6. At 6 pictures are not judged
at all. A check that fails itself fails the prediction: nothing passes for want of a verdict.
"""

import asyncio
from collections.abc import Sequence

from retouch.domain.errors import Blocked
from retouch.domain.failure import FailureKind
from retouch.domain.picture import Picture
from retouch.ports import PictureCheck, PromptCheck

UNJUDGED = 6
"""The tolerance at which pictures are not looked at."""


class Safety:
    """The checks that are configured, None for one that is not."""

    def __init__(
        self, prompts: PromptCheck | None = None, pictures: PictureCheck | None = None
    ) -> None:
        self._prompts, self._pictures = prompts, pictures

    def summary(self, tolerance: int) -> str:
        """A line for the logs: which checks run at a tolerance. Empty when there is none."""
        pictures = None if tolerance >= UNJUDGED else self._pictures
        names = [
            f"{what} by {check.name}"
            for what, check in (("prompt", self._prompts), ("pictures", pictures))
            if check is not None
        ]
        return f"Safety checks: {', '.join(names)}\n" if names else ""

    def check_prompt(self, prompt: str, tolerance: int) -> None:
        """Raises Blocked, naming what was found."""
        found = self._prompts and self._prompts.judge(prompt, tolerance)
        if found:
            raise Blocked(FailureKind.BLOCKED_REQUEST, found)

    async def check_inputs(self, pictures: Sequence[Picture], tolerance: int) -> None:
        """Raises Blocked, naming what was found, and EngineFailed when the check fails."""
        await self._judge(FailureKind.BLOCKED_REQUEST, pictures, tolerance)

    async def check_results(self, pictures: Sequence[Picture], tolerance: int) -> bool:
        """Whether the pictures were judged. Raises Blocked and EngineFailed, as `check_inputs`."""
        return await self._judge(FailureKind.BLOCKED_RESULT, pictures, tolerance)

    async def _judge(self, kind: FailureKind, pictures: Sequence[Picture], tolerance: int) -> bool:
        if self._pictures is None or tolerance >= UNJUDGED:
            return False
        for picture in pictures:
            found = await asyncio.to_thread(self._pictures.judge, picture, tolerance)
            if found:
                raise Blocked(kind, found)
        return True
