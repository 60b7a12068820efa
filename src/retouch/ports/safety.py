"""Checks of prompts and pictures."""

from typing import Protocol

from retouch.domain.picture import Picture


class PromptCheck(Protocol):
    """Judges words."""

    name: str  # what it is called in logs

    def judge(self, prompt: str, tolerance: int) -> str | None:
        """The reason to refuse a prompt at a tolerance of 0 (strict) to 6; None lets it pass."""


class PictureCheck(Protocol):
    """Judges pictures. Called from any thread."""

    name: str

    def judge(self, picture: Picture, tolerance: int) -> str | None:
        """The reason to refuse a picture at a tolerance of 0 to 5; None lets it pass.

        Raises EngineFailed when it cannot tell.
        """
