"""The errors a caller can act on.

RetouchError
├── InvalidEdit        the request breaks its model's rules; names each field, value and limit
├── NotFound           no such thing, or not the caller's (the two look the same on purpose)
├── Unauthenticated    no credential, or not one of ours
├── TooLarge           the body or a file is over a limit
├── Busy               the server cannot take the request now; a retry may help
├── BadInput           an image could not be fetched or decoded; fails the prediction
├── Blocked            a safety check refused the prompt or a picture; fails the prediction
└── EngineFailed       the model could not finish the edit; fails the prediction
    └── OutOfMemory    there was not enough memory for it; what it held is returned

Services and workers raise these; a protocol translates them by table.
"""

from dataclasses import dataclass
from typing import ClassVar


class RetouchError(Exception):
    """Something went wrong that its message can explain to the caller."""

    may_retry: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: where it is, which rule it is, and the rule in words."""

    field: str
    kind: str
    description: str


class InvalidEdit(RetouchError):
    """The request breaks the rules of the model it names."""

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        self.violations = violations
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))


class NotFound(RetouchError):
    """There is no such thing, or it belongs to somebody else."""

    def __init__(self, what: str, name: str) -> None:
        self.what, self.name = what, name
        super().__init__(f"{what} {name!r} not found")


class Unauthenticated(RetouchError):
    """The caller sent no credential, or one that is not ours."""

    def __init__(self, *, missing: bool) -> None:
        self.missing = missing
        super().__init__("no credential was sent" if missing else "the credential is not valid")


class TooLarge(RetouchError):
    """The request is larger than the server accepts."""

    def __init__(self, what: str, limit_bytes: int) -> None:
        self.what, self.limit_bytes = what, limit_bytes
        super().__init__(f"{what} is larger than {limit_bytes} bytes")


class Busy(RetouchError):
    """The server cannot take the request now."""

    may_retry = True

    def __init__(self, reason: str, retry_after_s: float = 1.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class BadInput(RetouchError):
    """An input image could not be fetched or decoded."""


class Blocked(RetouchError):
    """A safety check refused the prompt or a picture. Its message begins with one of these."""

    REQUEST: ClassVar[str] = "The prompt or an input picture was refused by a safety check."
    RESULT: ClassVar[str] = "The result was refused by a safety check."


class EngineFailed(RetouchError):
    """The model could not finish the edit."""


class OutOfMemory(EngineFailed):
    """The device's memory did not suffice for an edit in this company."""
