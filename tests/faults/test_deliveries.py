"""Sending webhooks while the store fails: each end is told, under one id, and settled once."""

from collections import Counter
from collections.abc import Mapping

import pytest

from retouch.domain.edit import Edit
from retouch.domain.errors import Busy
from retouch.domain.prediction import FINAL, Cancel, Prediction, Webhook
from retouch.net.sealing import WebhookSigner
from retouch.net.signing import LinkSigner
from retouch.ports import DeliveryState, Outbox, Receipt, Store
from retouch.protocols.base import Call, Notice, Notification, View
from retouch.protocols.dialect import Dialect
from retouch.service.deliveries import LEASE_S, Deliveries
from retouch.service.identity import Tickets
from retouch.service.links import Links, Views
from retouch.testing import FakeClock, MemoryStore
from tests.faults.wrappers import Fault, Nth, faulty

IDS = ("a", "b", "c")
SECRET = b"a secret of some length"
FAULTS = [
    (verb, fault, nth, times)
    for verb in ("deliveries", "settle", "get")
    for fault in Fault
    for nth in (1, 2)
    for times in (1, 3)
]


class Plain(Dialect):
    """Words nothing but the delivery's id."""

    name = "plain"

    def notification(self, call: Call, view: View, notice: Notice) -> Notification:
        return Notification(body=b"", headers={"id": notice.id})


class Ledger:
    """A courier whose receiver takes everything."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Receipt:
        self.told[headers["id"]] += 1
        return Receipt(200)


@pytest.mark.parametrize(("verb", "fault", "nth", "times"), FAULTS)
async def test_every_end_is_told_under_one_id(
    verb: str, fault: Fault, nth: int, times: int
) -> None:
    clock, ledger, plan = FakeClock(), Ledger(), Nth(verb, fault, nth, times)
    store = MemoryStore(clock)
    failing = faulty(store, plan, Store, Outbox)
    sender = Deliveries(
        store=failing,
        outbox=failing,
        dialects=(Plain(),),
        views=Views(Links(LinkSigner(SECRET), clock), Tickets(SECRET)),
        signer=WebhookSigner(SECRET),
        courier=ledger,
        clock=clock,
        random=lambda: 0.0,
        poll_s=0.01,
    )
    for id in IDS:
        await store.add(made(id))
        await store.advance(id, Cancel("ada"))

    for _ in range(6):
        try:
            await sender.turn()
        except Busy:
            continue
        await sender.drain()
        clock.advance(LEASE_S)

    assert plan.struck
    assert set(ledger.told) == {f"{id}-canceled" for id in IDS}
    assert set(ledger.told.values()) == {1}
    states = {it.state for it in await store.list_deliveries(limit=9)}
    assert states == {DeliveryState.DELIVERED}
    clock.advance(LEASE_S)
    assert await sender.turn() == 0


def made(id: str) -> Prediction:
    return Prediction(
        id=id,
        owner="ada",
        protocol="plain",
        model="m",
        input={},
        edit=Edit(prompt="x"),
        created_at=0.0,
        webhook=Webhook(url="http://h/", tells=FINAL, origin="http://o"),
    )
