"""A key's grant (the operations it permits), and the limits on a create."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from retouch.domain.prediction import Kept

UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_RATE = re.compile(r"([1-9][0-9]{0,8})/(s|min|h|d)")


class Scope(StrEnum):
    """A kind of thing to do."""

    READ = "read"  # look at one's own predictions and files, and at the models
    WRITE = "write"  # create, cancel, delete, upload
    OPERATE = "operate"  # look at the server itself


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` in `per_s` seconds: so many at once, and then one more as each share passes."""

    count: int
    per_s: float

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read `10/s`, `600/min`, `5/h` or `100/d`; raises ValueError."""
        found = _RATE.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is no rate: write 10/s, 600/min, 5/h or 100/d")
        return cls(int(found[1]), UNITS_S[found[2]])

    def __str__(self) -> str:
        unit = next((name for name, s in UNITS_S.items() if s == self.per_s), f"{self.per_s:g} s")
        return f"{self.count}/{unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits on a create; None means no limit."""

    max_in_flight: int | None = None  # the owner's predictions that are not over
    rate: Rate | None = None  # the owner's creates
    max_queued: int | None = None  # everybody's predictions that wait
    max_ahead: int | None = None  # those that wait already, for as long as its caller will bear it


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a key permits. Where it sets no limit and no time, the server's settings do."""

    scopes: frozenset[Scope] = ALL_SCOPES
    expires_at: float | None = None  # UTC seconds since 1970
    models: tuple[str, ...] = ()  # patterns such as `black-forest-labs/*`; none: every model
    max_in_flight: int | None = None
    rate: Rate | None = None
    keep_inputs_s: float | None = None  # as the settings of these names
    keep_outputs_s: float | None = None
    keep_record_s: float | None = None

    def allows_model(self, name: str) -> bool:
        """Whether this public name is on the list, or there is none."""
        return not self.models or any(fnmatchcase(name, pattern) for pattern in self.models)

    @property
    def keep_s(self) -> Mapping[Kept, float]:
        """How long what is made under it is kept, where it says so; 0 for ever."""
        own = {
            Kept.INPUTS: self.keep_inputs_s,
            Kept.OUTPUTS: self.keep_outputs_s,
            Kept.RECORD: self.keep_record_s,
        }
        return {kept: span_s for kept, span_s in own.items() if span_s is not None}

    def limits(self, default: Limits, *, max_ahead: int | None = None) -> Limits:
        """What a create under it is held to, the server's own limits being `default`, and the
        length of the queue that its caller will bear `max_ahead`.
        """
        most, rate = self.max_in_flight, self.rate
        return Limits(
            max_in_flight=default.max_in_flight if most is None else most,
            rate=rate or default.rate,
            max_queued=default.max_queued,
            max_ahead=max_ahead,
        )


EVERYTHING = Grant()
