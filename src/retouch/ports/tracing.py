"""Traces: how long each part of the work took."""

from typing import Protocol


class Span(Protocol):
    """A stretch of time that something took."""

    @property
    def context(self) -> str:
        """Its W3C `traceparent`, for what happens because of it; empty when nothing is recorded."""

    def end(self, *, at: float | None = None, error: str = "", **facts: str | float) -> None:
        """It is over, now or at a time (UTC seconds), in failure if there is an `error`."""


class Tracer(Protocol):
    """Records spans. No fact of one is a prompt, a key or an address's values."""

    def begin(
        self, name: str, parent: str = "", *, at: float | None = None, **facts: str | float
    ) -> Span:
        """A span under the one whose `traceparent` this is, from now or from a time."""


class _Untraced(Span, Tracer):
    context = ""

    def end(self, *, at: float | None = None, error: str = "", **facts: str | float) -> None:
        """Nothing is recorded."""

    def begin(
        self, name: str, parent: str = "", *, at: float | None = None, **facts: str | float
    ) -> Span:
        """Nothing is recorded."""
        return self


UNTRACED: Tracer = _Untraced()
"""Records nothing."""
