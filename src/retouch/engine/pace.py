"""How fast the device is: seconds per unit of work, learned from the passes it makes."""

from dataclasses import dataclass, replace
from statistics import median

SAMPLES = 32


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds per unit of work of the latest passes, oldest first."""

    samples: tuple[float, ...] = ()
    overhead: float = 0.0  # work that a step costs beside its picture's own, in the same unit

    @property
    def is_known(self) -> bool:
        """Whether a pass was timed yet."""
        return bool(self.samples)

    @property
    def seconds(self) -> float:
        """The median, so that one slow pass changes nothing; 0 before the first."""
        return median(self.samples) if self.samples else 0.0

    def timed(self, work: float, took_s: float) -> "Pace":
        """With one more pass; one without work tells nothing."""
        if work <= 0:
            return self
        return replace(self, samples=(*self.samples, took_s / work)[-SAMPLES:])
