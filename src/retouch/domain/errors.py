"""The errors a caller can act on.

RetouchError
├── InvalidEdit        the request breaks its model's rules; names each field, value and limit
├── NotFound           no such thing, or not the caller's (the two look the same on purpose)
├── Unauthenticated    no credential, or not one of ours that still works
├── Forbidden          the caller's key is not for this
├── TooLarge           the body or a file is over a limit
├── Encoded            the body is compressed
├── Throttled          the caller's key is at one of its limits; a retry may help
├── Busy               the server cannot take the request now; a retry may help
│   ├── Full           because too much is queued already
│   ├── LongQueue      because more is queued than its caller puts up with
│   └── Stopping       because it is being stopped
├── BadInput           an image could not be fetched or decoded; fails the prediction
├── Blocked            a safety check refused the prompt or a picture; fails the prediction
└── EngineFailed       the model could not finish the edit; fails the prediction
    └── OutOfMemory    there was not enough memory for it; what it held is returned

Services and workers raise these; a protocol translates them by table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from retouch.domain.failure import Failure, FailureKind


class RetouchError(Exception):
    """Something went wrong that its message can explain to the caller."""

    may_retry: ClassVar[bool] = False
    failure_kind: FailureKind = FailureKind.INTERNAL  # of a prediction that it ends

    @property
    def failure(self) -> Failure:
        """Why a prediction failed that this ended."""
        return Failure(self.failure_kind, str(self))


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: where it is, which rule it is, the rule in words, and what broke it.

    `value` is as a refusal may repeat it; None where nothing was sent, or it is a secret.
    """

    field: str
    kind: str
    description: str
    value: str | int | float | None = None


class InvalidEdit(RetouchError):
    """The request breaks the rules of the model it names."""

    failure_kind = FailureKind.INVALID

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


class Forbidden(RetouchError):
    """The caller is known and may not do this. The message says what its key lacks."""


class TooLarge(RetouchError):
    """The request is larger than the server accepts."""

    def __init__(self, what: str, limit_bytes: int) -> None:
        self.what, self.limit_bytes = what, limit_bytes
        super().__init__(f"{what} is larger than {limit_bytes} bytes")


class Encoded(RetouchError):
    """The body is in an encoding, such as gzip. Nothing here unpacks what may be a bomb."""

    def __init__(self, encoding: str) -> None:
        super().__init__(
            f"content-encoding {encoding[:60]!r} is not read here: send the body as it is"
        )


class Busy(RetouchError):
    """The server cannot take the request now."""

    may_retry = True
    failure_kind = FailureKind.UNAVAILABLE

    def __init__(self, reason: str, retry_after_s: float = 1.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class Full(Busy):
    """As many predictions are queued as the server takes."""

    def __init__(self, max_queued: int) -> None:
        super().__init__(f"{max_queued} predictions are queued, as many as it takes", 10.0)


class LongQueue(Busy):
    """More predictions are queued than the caller puts up with."""

    def __init__(self, queued: int, max_ahead: int) -> None:
        super().__init__(f"the queue has {queued} requests, more than the {max_ahead} allowed")


class Throttled(RetouchError):
    """The caller's own key is at a limit: of predictions at once, or of creates in a time.

    Or so many wrong keys came from its address that no other is looked at yet.
    """

    may_retry = True

    def __init__(self, rule: str, retry_after_s: float, *, in_flight: bool = False) -> None:
        self.retry_after_s, self.in_flight = retry_after_s, in_flight
        super().__init__(rule)

    @classmethod
    def crowded(cls, max_in_flight: int) -> "Throttled":
        """Too many at once. When one ends nobody knows, so the wait is a guess."""
        rule = f"this key's predictions in progress are limited to {max_in_flight}"
        return cls(rule, 5.0, in_flight=True)

    @classmethod
    def hasty(cls, rate: object, wait_s: float) -> "Throttled":
        """Too many in a time; the next one is taken after `wait_s`."""
        return cls(f"this key's creates are limited to {rate}", wait_s)

    @classmethod
    def guessing(cls, wait_s: float) -> "Throttled":
        """Too many wrong keys; the next one is looked at after `wait_s`."""
        return cls("too many wrong keys came from this address", wait_s)


class Stopping(Busy):
    """The server is being stopped and takes nothing new."""

    def __init__(self) -> None:
        super().__init__("the server is stopping", 5.0)


class BadInput(RetouchError):
    """An input picture could not be had or decoded, or a mask does not fit what it is of.

    The kind is one of `BAD_INPUT`; `picture` is the place of the one at fault, once it is known.
    """

    def __init__(self, kind: FailureKind, error: str) -> None:
        self.failure_kind = kind
        self.picture: int | None = None
        super().__init__(error)

    @property
    def failure(self) -> Failure:
        return Failure(self.failure_kind, str(self), self.picture)


class Blocked(RetouchError):
    """A safety check refused the prompt or a picture. The kind is one of `BLOCKED`."""

    WORDS: ClassVar[Mapping[FailureKind, str]] = {
        FailureKind.BLOCKED_REQUEST: "The prompt or an input picture was refused by a safety check",
        FailureKind.BLOCKED_RESULT: "The result was refused by a safety check",
    }

    def __init__(self, kind: FailureKind, found: str) -> None:
        self.failure_kind = kind
        super().__init__(f"{self.WORDS[kind]}. Found: {found}.")


class EngineFailed(RetouchError):
    """The model could not finish the edit."""

    failure_kind = FailureKind.ENGINE


class OutOfMemory(EngineFailed):
    """The device's memory did not suffice for an edit in this company."""

    failure_kind = FailureKind.OUT_OF_MEMORY


def cause_of(error: BaseException) -> str:
    """Of what others said that led to an error its kind and first line, for operators.

    Empty where nothing did, and where it is an error of ours, which says all in its message.
    """
    cause = error.__cause__
    if cause is None or isinstance(cause, RetouchError):
        return ""
    first = (str(cause).splitlines() or [""])[0]
    return f"{type(cause).__name__}: {first[:300]}"
