"""Elaborates prompts."""

from typing import Protocol


class NotUpsampled(Exception):
    """A prompt could not be elaborated; the message is the reason, for its logs."""


class Upsampler(Protocol):
    """Elaborates prompts."""

    name: str  # what it is called in logs

    async def upsample(self, prompt: str, pictures: int) -> str:
        """The prompt at greater length, for an edit of so many pictures; raises NotUpsampled."""
