"""How a webhook is sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receiver's answer; `retry_after_s` is set when the answer had a `Retry-After`."""

    status: int
    retry_after_s: float | None = None


class Undelivered(Exception):
    """A webhook could not be sent to its receiver; the message is the reason, for the operator."""


class Courier(Protocol):
    """Guarded POSTs to the addresses callers name."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Receipt:
        """Send it and read the status; follows nothing. Raises Undelivered saying why not."""
