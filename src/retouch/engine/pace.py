"""How fast the device is: seconds per unit of work, learned from the passes it makes, and what a
picture is worth of that unit beside its steps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median

from retouch.domain.edit import Mode

SAMPLES = 32


@dataclass(frozen=True, slots=True)
class Line:
    """Something that grows evenly with pixels."""

    base: float = 0.0
    slope: float = 0.0

    @classmethod
    def through(cls, points: Mapping[int, float]) -> "Line":
        """The line through what was measured at one or two numbers of pixels, never falling.

        One number tells nothing of how it grows; there is no line through none but 0.

        >>> Line.through({10: 3.0, 30: 7.0}).at(20), Line.through({10: 3.0}).at(20)
        (5.0, 3.0)
        """
        if not points:
            return cls()
        (few, less), (many, more) = min(points.items()), max(points.items())
        slope = max(0.0, more - less) / max(1, many - few)
        return cls(max(0.0, less - slope * few), slope)

    def at(self, pixels: int) -> float:
        """What it is at so many pixels."""
        return self.base + self.slope * pixels


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds per unit of work of the latest passes, oldest first."""

    samples: tuple[float, ...] = ()  # of exact passes
    overhead: float = 0.0  # work that a step costs beside its picture's own, in the same unit
    opening: Line = Line()
    closing: Line = Line()
    fast: tuple[tuple[float, float], ...] = ()  # work of fast passes, were they exact, and seconds

    @property
    def is_known(self) -> bool:
        """Whether a pass was timed yet."""
        return bool(self.samples)

    @property
    def seconds(self) -> float:
        """The median, so that one slow pass changes nothing; 0 before the first."""
        return median(self.samples) if self.samples else 0.0

    def share(self, mode: Mode) -> float:
        """What a step of this mode is worth of an exact one's work, at most 1; 1 until measured.

        In the mean, as a fast picture's steps differ by plan: some are whole.
        """
        work = self.seconds * sum(work for work, _ in self.fast)
        if mode == "exact" or not work:
            return 1.0
        return min(1.0, sum(took_s for _, took_s in self.fast) / work)

    def timed(self, work: float, took_s: float, mode: Mode = "exact") -> "Pace":
        """With one more pass, of pictures of this mode only; one without work tells nothing."""
        if work <= 0:
            return self
        if mode != "exact":
            return replace(self, fast=(*self.fast, (work, took_s))[-SAMPLES:])
        return replace(self, samples=(*self.samples, took_s / work)[-SAMPLES:])
