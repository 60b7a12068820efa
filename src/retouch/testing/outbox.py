"""The outbox in memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from retouch.ports import (
    Clock,
    Delivered,
    Delivery,
    DeliveryState,
    GiveUp,
    Outbox,
    Outcome,
    Postpone,
    Retry,
)


class MemoryOutbox(Outbox):
    """Deliveries in a dictionary, and the bell that tells of new ones."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._deliveries: dict[str, Delivery] = {}
        self._bell = asyncio.Event()

    async def deliveries(
        self, *, limit: int, lease_s: float, sender: str = ""
    ) -> Sequence[Delivery]:
        now = self._clock.now()
        waiting = [it for it in self._deliveries.values() if it.state is DeliveryState.WAITING]
        due = sorted((it for it in waiting if it.due_at <= now), key=lambda it: it.due_at)
        until = now + lease_s
        claimed = [
            replace(it, attempt=it.attempt + 1, due_at=until, sender=sender) for it in due[:limit]
        ]
        self._deliveries.update({it.id: it for it in claimed})
        return sorted(claimed, key=lambda it: (it.created_at, it.id))

    async def release_deliveries(self, sender: str) -> int:
        now = self._clock.now()
        begun = [
            it
            for it in self._deliveries.values()
            if it.state is DeliveryState.WAITING and it.due_at > now and it.sender == sender
        ]
        self._deliveries.update({it.id: replace(it, due_at=now, sender="") for it in begun})
        self._ring()
        return len(begun)

    async def settle(self, delivery: Delivery, outcome: Outcome) -> bool:
        current = self._deliveries.get(delivery.id)
        if current is None or current.state is not DeliveryState.WAITING:
            return False
        if current.attempt != delivery.attempt:
            return False
        current = replace(current, sender="")
        self._deliveries[delivery.id] = _settled(current, outcome, self._clock.now())
        return True

    async def list_deliveries(self, *, limit: int) -> Sequence[Delivery]:
        found = sorted(self._deliveries.values(), key=lambda it: (it.created_at, it.id))
        return found[::-1][:limit]

    async def replay(self, id: str) -> Delivery | None:
        if id not in self._deliveries:
            return None
        now, state = self._clock.now(), DeliveryState.WAITING
        self._deliveries[id] = replace(
            self._deliveries[id], state=state, attempt=0, due_at=now, sender=""
        )
        self._ring()
        return self._deliveries[id]

    def _ring(self) -> None:
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()


def _settled(delivery: Delivery, outcome: Outcome, now: float) -> Delivery:
    match outcome:
        case Delivered(note):
            return replace(delivery, state=DeliveryState.DELIVERED, note=note)
        case GiveUp(note):
            return replace(delivery, state=DeliveryState.GIVEN_UP, note=note)
        case Retry(in_s, note):
            return replace(delivery, due_at=now + in_s, note=note)
        case Postpone(in_s):
            return replace(delivery, due_at=now + in_s, attempt=delivery.attempt - 1)
