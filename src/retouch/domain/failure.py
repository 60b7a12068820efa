"""Why a prediction failed: the kinds, and what is known of one failure.

A protocol, a metric and an operator go by the kind; the sentence is for people.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """Why a prediction failed, as programs tell it."""

    BLOCKED_REQUEST = "blocked_request"  # a safety check refused the prompt or an input picture
    BLOCKED_RESULT = "blocked_result"  # a safety check refused a picture that was made
    UNFETCHED = "unfetched"  # an input picture could not be fetched
    UNREADABLE = "unreadable"  # an input picture cannot be decoded, or a mask does not fit
    TOO_MANY_BYTES = "too_many_bytes"  # in an input picture
    TOO_MANY_PIXELS = "too_many_pixels"  # in an input picture, or in all together
    INVALID = "invalid"  # the weights that serve it cannot make such an edit
    OUT_OF_MEMORY = "out_of_memory"  # it does not fit into the device's memory
    ENGINE = "engine"  # the model, or a safety check's, could not finish
    NOT_STARTED = "not_started"  # no worker was free in the time its caller gave it
    WORKER_LOST = "worker_lost"  # its workers fell silent, or their server was killed
    WORKER_CRASHED = "worker_crashed"  # its workers' processes died, so it is taken for the cause
    UNAVAILABLE = "unavailable"  # the storage of pictures stayed away
    INTERNAL = "internal"  # any other fault of ours


BLOCKED: AbstractSet[FailureKind] = frozenset(
    {FailureKind.BLOCKED_REQUEST, FailureKind.BLOCKED_RESULT}
)
"""Refused by a safety check."""

BAD_INPUT: AbstractSet[FailureKind] = frozenset(
    {
        FailureKind.UNFETCHED,
        FailureKind.UNREADABLE,
        FailureKind.TOO_MANY_BYTES,
        FailureKind.TOO_MANY_PIXELS,
    }
)
"""The fault of an input picture."""

MASK_PLACE = -1
"""The `picture` of a failure that is the mask's: it is the last of `Edit.sources`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure: its kind, a sentence for the caller, and the picture at fault if one is."""

    kind: FailureKind
    error: str
    picture: int | None = None  # its place among `Edit.images`, from 0, or MASK_PLACE
