"""Messages to webhooks, and how their deliveries ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from retouch.domain.prediction import Status


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"  # due now or later, or being sent
    DELIVERED = "delivered"
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to a prediction's webhook: the prediction arrived in the state `tells`."""

    id: str  # the same on every try
    prediction_id: str
    tells: Status
    created_at: float  # when the prediction made that move
    due_at: float  # when it may be claimed; while it is being sent, when its lease lapses
    attempt: int = 0  # tries begun
    state: DeliveryState = DeliveryState.WAITING
    note: str = ""  # how the last try ended, for the operator
    sender: str = ""  # who is sending it, while it is claimed


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver took it."""

    note: str


@dataclass(frozen=True, slots=True)
class Retry:
    """It failed; due again after `in_s` seconds."""

    in_s: float
    note: str


@dataclass(frozen=True, slots=True)
class Postpone:
    """It was not tried: due again after `in_s` seconds, the attempt given back."""

    in_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It failed for good."""

    note: str


Outcome = Delivered | Retry | Postpone | GiveUp


class Outbox(Protocol):
    """The deliveries still to be made, in the same database as the predictions.

    A move writes its delivery in its own transaction, so each is recorded exactly once.
    """

    async def deliveries(
        self, *, limit: int, lease_s: float, sender: str = ""
    ) -> Sequence[Delivery]:
        """Claim up to `limit` due deliveries, longest due first, their attempt counted.

        One that is not settled is due again when its lease lapses. No delivery is given to two
        callers at once.
        """

    async def release_deliveries(self, sender: str) -> int:
        """Make the deliveries that a dead sender had claimed due at once; returns their number."""

    async def settle(self, delivery: Delivery, outcome: Outcome) -> bool:
        """Record how this attempt ended; False, and nothing written, once it is not current."""

    async def list_deliveries(self, *, limit: int) -> Sequence[Delivery]:
        """The newest deliveries, by (created_at, id)."""

    async def replay(self, id: str) -> Delivery | None:
        """Make a delivery due now, its attempts counted from none; None when it is unknown."""
