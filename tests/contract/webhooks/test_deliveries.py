"""The sender on a clock that stands still, against a real receiver that behaves or does not."""

import asyncio
import json
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import pytest
from structlog.testing import capture_logs

from retouch.domain.edit import Edit
from retouch.domain.prediction import FINAL, Cancel, Fence, Prediction, Status, Succeed, Webhook
from retouch.net import GuardedCourier, LinkSigner, WebhookSigner
from retouch.ports import DeliveryState
from retouch.protocols.base import Call, Notice, Notification, View
from retouch.protocols.dialect import Dialect
from retouch.service.deliveries import LEASE_S, SCHEDULE_S, Deliveries
from retouch.service.identity import Tickets
from retouch.service.links import Links, Views
from retouch.testing import FakeClock, MemoryStore

LOOPBACK = (ip_network("127.0.0.0/8"),)
SECRET = b"a secret of some length"


class Plain(Dialect):
    """Words a delivery as the facts it was given."""

    name = "plain"

    def notification(self, call: Call, view: View, notice: Notice) -> Notification:
        it = view.prediction
        said = {
            "status": it.status,
            "url": call.url("/x"),
            "at": notice.at,
            "outputs": view.outputs,
        }
        headers = {"id": notice.id, "secret": notice.secret or notice.signer.secrets(it.owner)[0]}
        return Notification(body=json.dumps(said).encode(), headers=headers)


@dataclass
class Site:
    """A store, a sender and its clock. Chance adds nothing unless `chance` says so."""

    receiver: Any
    clock: FakeClock = field(default_factory=FakeClock)
    chance: float = 0.0
    allow: Any = LOOPBACK
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.sender = self.another()

    def another(self) -> Deliveries:
        """A sender on the same store, as a second process would have."""
        return Deliveries(
            store=self.store,
            outbox=self.store,
            dialects=(Plain(),),
            views=Views(Links(LinkSigner(SECRET), self.clock), Tickets(SECRET)),
            signer=WebhookSigner(SECRET),
            courier=GuardedCourier(self.allow, timeout_s=30),
            clock=self.clock,
            random=lambda: self.chance,
            **self.options,
        )

    async def add(self, id: str = "a", *tells: Status, **fields: Any) -> None:
        webhook = Webhook(
            url=fields.pop("url", self.receiver.url()),
            tells=frozenset(tells) or FINAL,
            origin="https://edit.example",
            mount="/v1",
            secret=fields.pop("secret", ""),
        )
        values = {"owner": "ada", "protocol": "plain", "model": "m", "input": {}} | fields
        made = Prediction(
            id=id, edit=Edit(prompt="x"), created_at=self.clock.now(), webhook=webhook, **values
        )
        await self.store.add(made)

    async def end(self, id: str = "a", **fields: Any) -> None:
        """A prediction that is over, and waits to be told."""
        await self.add(id, **fields)
        await self.store.advance(id, Cancel("ada"))

    async def turn(self) -> int:
        """Send what is due now, and wait until it is settled."""
        sent = await self.sender.turn()
        await self.sender.drain()
        return sent

    async def only(self) -> Any:
        (delivery,) = await self.store.list_deliveries(limit=10)
        return delivery

    @property
    def said(self) -> list[str]:
        return [json.loads(arrival.body)["status"] for arrival in self.receiver.arrivals]


@pytest.fixture
def site(receiver: Any) -> Site:
    return Site(receiver)


async def test_an_end_is_told_once(site: Site) -> None:
    await site.end()

    assert await site.turn() == 1
    assert await site.turn() == 0

    (arrival,) = site.receiver.arrivals
    assert json.loads(arrival.body) == {
        "status": "canceled",
        "url": "https://edit.example/v1/x",
        "at": site.clock.now(),
        "outputs": [],
    }
    assert arrival.headers["id"] == "a-canceled"
    assert arrival.headers["secret"] == WebhookSigner(SECRET).secrets("ada")[0]
    assert (await site.only()).state is DeliveryState.DELIVERED


async def test_a_callers_own_secret_reaches_its_protocol(site: Site) -> None:
    await site.end(secret="hunter2")  # noqa: S106

    await site.turn()

    assert site.receiver.arrivals[0].headers["secret"] == "hunter2"  # noqa: S105


@pytest.mark.parametrize("status", ["500 Oops", "404 Not Found", "301 Moved", "304 Not Modified"])
async def test_whatever_is_not_2xx_is_tried_again_by_the_schedule(site: Site, status: str) -> None:
    site.receiver.statuses = [status]
    await site.end()

    for wait_s in SCHEDULE_S:
        assert await site.turn() == 1
        site.clock.advance(wait_s - 0.001)
        assert await site.turn() == 0
        site.clock.advance(0.001)
    assert await site.turn() == 1

    last = await site.only()
    assert (last.state, last.attempt) == (DeliveryState.GIVEN_UP, len(SCHEDULE_S) + 1)
    assert status[:3] in last.note
    assert {arrival.headers["id"] for arrival in site.receiver.arrivals} == {last.id}


async def test_chance_delays_a_retry_by_a_tenth_at_most(site: Site) -> None:
    site.receiver.statuses = ["500 Oops"]
    site.chance = 1.0
    await site.end()
    await site.turn()

    assert (await site.only()).due_at == pytest.approx(site.clock.now() + 5.5)


async def test_a_receiver_that_recovers_is_told_then(site: Site) -> None:
    site.receiver.statuses = ["503 Down", "503 Down", "204 Fine"]
    await site.end()

    await site.turn()
    site.clock.advance(5)
    await site.turn()
    site.clock.advance(300)
    await site.turn()

    assert (await site.only()).state is DeliveryState.DELIVERED
    assert len(site.receiver.arrivals) == 3


async def test_a_time_the_receiver_names_is_kept_to(site: Site) -> None:
    site.receiver.statuses = ["429 Slow Down"]
    site.receiver.headers = {"retry-after": "120"}
    await site.end()
    await site.turn()

    assert (await site.only()).due_at == site.clock.now() + 120


async def test_gone_is_the_end_of_it(site: Site) -> None:
    site.receiver.statuses = ["410 Gone"]
    await site.end()
    await site.turn()

    assert (await site.only()).state is DeliveryState.GIVEN_UP
    site.clock.advance(10**6)
    assert await site.turn() == 0


async def test_a_receiver_that_is_down_or_slow_is_tried_again(site: Site) -> None:
    site.receiver.open.clear()
    await site.end("slow")
    await site.end("down", url="http://127.0.0.1:1/")

    assert await site.turn() == 2

    notes = {it.prediction_id: it.note for it in await site.store.list_deliveries(limit=2)}
    assert "longer than" in notes["slow"]
    assert "no connection" in notes["down"]
    site.clock.advance(5)
    assert await site.turn() == 2


async def test_a_huge_answer_is_taken_for_what_its_head_says(site: Site) -> None:
    site.receiver.answer = b"x" * 20_000_000
    await site.end()

    await site.turn()

    assert (await site.only()).state is DeliveryState.DELIVERED


async def test_a_private_target_is_refused_in_the_log_until_it_is_allowed(receiver: Any) -> None:
    site = Site(receiver, allow=())
    await site.end()

    with capture_logs() as lines:
        await site.turn()

    assert receiver.arrivals == []
    assert [(it["event"], "allow_webhook" in it["reason"]) for it in lines] == [
        ("webhook.failed", True)
    ]
    assert receiver.url() not in str(lines)
    site.allow = LOOPBACK
    site.sender = site.another()  # as after a restart
    site.clock.advance(5)
    await site.turn()
    assert site.said == ["canceled"]


async def test_a_start_is_told_as_it_was_and_never_again(site: Site) -> None:
    site.receiver.statuses = ["500 Oops", "200 OK"]
    await site.add("a", Status.RUNNING)
    await site.store.claim("w", limit=1, lease_s=60)
    await site.store.advance("a", Succeed((), {}, "log"), fence=Fence("w", 1))

    await site.turn()
    site.clock.advance(10**6)
    await site.turn()

    assert site.said == ["running"]
    assert (await site.only()).state is DeliveryState.GIVEN_UP


async def test_what_a_dead_sender_left_is_told_under_the_same_id(site: Site) -> None:
    site.receiver.open.clear()
    await site.end()
    await site.sender.turn()
    await site.receiver.arrived.wait()
    dead = site.sender
    dead._grace_s = 0
    await dead.stop()
    site.receiver.open.set()

    site.sender = site.another()
    assert await site.turn() == 0
    site.clock.advance(LEASE_S)
    await site.turn()

    assert [it.headers["id"] for it in site.receiver.arrivals] == ["a-canceled"] * 2
    assert (await site.only()).state is DeliveryState.DELIVERED


async def test_a_host_gets_so_many_at_once_and_others_do_not_wait_for_it(receiver: Any) -> None:
    site = Site(receiver, options={"per_host": 2})
    receiver.open.clear()
    for n in range(5):
        await site.end(f"p{n}")
    await site.end("other", url=receiver.url(host="127.0.0.2"))

    await site.sender.turn()
    async with asyncio.timeout(30):
        while len(receiver.arrivals) < 2:
            receiver.arrived.clear()
            await receiver.arrived.wait()
    receiver.open.set()
    await site.sender.drain()
    for _ in range(2):
        site.clock.advance(5)
        await site.turn()

    told = {it.prediction_id: it for it in await site.store.list_deliveries(limit=10)}
    assert told.pop("other").note  # tried in the first turn; nobody listens there
    assert [it.attempt for it in told.values()] == [1] * 5
    assert receiver.most_at_once == 2
    assert len(receiver.arrivals) == 5


async def test_no_more_are_sent_at_once_than_there_is_room_for(receiver: Any) -> None:
    site = Site(receiver, options={"at_once": 3})
    receiver.open.clear()
    for n in range(5):
        await site.end(f"p{n}")

    assert await site.sender.turn() == 3
    assert await site.sender.turn() == 0
    receiver.open.set()
    await site.sender.drain()
    assert await site.sender.turn() == 2
    await site.sender.drain()


async def test_a_protocol_nobody_speaks_any_more_is_an_outcome(site: Site) -> None:
    await site.end(protocol="forgotten")

    await site.turn()

    assert "'forgotten'" in (await site.only()).note


async def test_the_running_sender_hears_of_an_end(site: Site) -> None:
    await site.sender.start()
    await site.end()

    async with asyncio.timeout(30):
        await site.receiver.arrived.wait()
        await site.sender.stop()
        await site.sender.stop()

    assert site.said == ["canceled"]
    assert (await site.only()).state is DeliveryState.DELIVERED


async def test_a_sender_of_the_same_name_takes_up_what_the_dead_one_had_begun(site: Site) -> None:
    await site.end()
    await site.store.deliveries(limit=1, lease_s=LEASE_S, sender="serve-1")
    site.options["name"] = "serve-1"
    successor = site.another()

    await successor.start()
    await asyncio.wait_for(site.receiver.arrived.wait(), 30)
    await successor.stop()

    assert site.said == ["canceled"]
    assert (await site.only()).attempt == 2
