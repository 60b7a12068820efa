"""What a webhook is still to be told: recorded with the move, claimed, settled, replayed."""

import asyncio
from collections import Counter

import pytest

from retouch.domain.failure import Failure, FailureKind
from retouch.domain.prediction import (
    FINAL,
    MAX_ATTEMPTS,
    Cancel,
    Fail,
    Fence,
    Requeue,
    Status,
    Succeed,
    Webhook,
)
from retouch.ports import Delivered, DeliveryState, GiveUp, Postpone, Retry

DONE = Succeed((), {})
ENDS = Webhook(
    url="https://hook.example/a?b=c", tells=FINAL, origin="https://edit.example", mount="/v1"
)
ALL = Webhook(url="https://hook.example", tells=FINAL | {Status.RUNNING}, origin="http://localhost")

OWN = Webhook(url="https://hook.example", tells=FINAL, origin="", secret="hunter2")  # noqa: S106


async def told(store):
    """Every delivery there is, as (prediction, state told)."""
    found = await store.list_deliveries(limit=1000)
    return sorted((it.prediction_id, it.tells.value) for it in found)


async def due(store, limit=10, lease_s=60):
    return await store.deliveries(limit=limit, lease_s=lease_s)


async def end_one(lab, id="a", webhook=ENDS):
    """A prediction that has succeeded, and the delivery of that, claimed."""
    await lab.add(id, webhook=webhook)
    await lab.store.claim("w", limit=1, lease_s=60)
    await lab.store.advance(id, DONE, fence=Fence("w", 1))
    (delivery,) = await due(lab.store)
    return delivery


@pytest.mark.parametrize("webhook", [ENDS, ALL, OWN])
async def test_a_prediction_keeps_its_webhook(lab, webhook):
    made = await lab.add("a", webhook=webhook)

    assert (await lab.store.get("a")).webhook == made.webhook == webhook


def test_a_webhooks_secret_is_not_printed():
    assert "hunter2" not in repr(OWN)


@pytest.mark.parametrize(
    ("move", "state"),
    [(Fail(Failure(FailureKind.INTERNAL, "no")), "failed"), (Cancel("ada"), "canceled")],
)
async def test_the_move_that_ends_it_records_one_delivery(lab, move, state):
    await lab.add("a", webhook=ENDS)

    ended = await lab.store.advance("a", move)

    (delivery,) = await due(lab.store)
    assert (delivery.prediction_id, delivery.tells, delivery.attempt) == ("a", state, 1)
    assert delivery.created_at == pytest.approx(ended.completed_at, abs=1)
    assert delivery.state is DeliveryState.WAITING


async def test_a_start_is_told_only_where_it_is_wanted(lab):
    await lab.add("a", webhook=ENDS)
    await lab.add("b", webhook=ALL)
    await lab.add("c")

    await lab.store.claim("w", limit=3, lease_s=60)

    assert await told(lab.store) == [("b", "running")]


async def test_nothing_is_told_where_nobody_listens(lab):
    await lab.add("a")

    await lab.store.advance("a", Cancel("ada"))

    assert await told(lab.store) == []
    assert await due(lab.store) == []


async def test_a_second_start_is_not_told_again(lab):
    await lab.add("a", webhook=ALL)
    await lab.store.claim("w", limit=1, lease_s=60)
    await lab.store.advance("a", Requeue("interrupted"), fence=Fence("w", 1))

    await lab.store.claim("v", limit=1, lease_s=60)

    assert await told(lab.store) == [("a", "running")]


async def test_a_prediction_that_kills_its_workers_tells_its_failure(lab):
    await lab.add("a", webhook=ENDS)

    for _ in range(MAX_ATTEMPTS):
        await lab.store.claim("w", limit=1, lease_s=60)
        await lab.store.release("w")

    assert await told(lab.store) == [("a", "failed")]


async def test_a_move_that_lost_its_race_tells_nothing(lab):
    other = await lab.another()
    ids = [(await lab.add(webhook=ENDS)).id for _ in range(20)]
    await lab.store.claim("w", limit=20, lease_s=60)

    async def race(id):
        return await asyncio.gather(
            lab.store.advance(id, DONE, fence=Fence("w", 1)),
            other.advance(id, Cancel("ada")),
            other.advance(id, DONE, fence=Fence("w", 2)),
        )

    outcomes = await asyncio.gather(*map(race, ids))

    winners = [(p.id, p.status.value) for moved in outcomes for p in moved if p is not None]
    assert await told(lab.store) == sorted(winners)
    assert len(winners) == 20


async def test_a_claimed_delivery_is_nobody_elses_until_its_lease_lapses(lab):
    first = await end_one(lab)

    assert await due(lab.store) == []
    lapsed = await lab.store.settle(first, Retry(0, "down"))
    (second,) = await due(lab.store, lease_s=0)
    (third,) = await due(lab.store, lease_s=0)

    assert lapsed
    assert first.id == second.id == third.id
    assert [it.attempt for it in (first, second, third)] == [1, 2, 3]


async def test_many_senders_never_share_a_delivery(lab):
    for _ in range(40):
        made = await lab.add(webhook=ENDS)
        await lab.store.advance(made.id, Cancel("ada"))
    stores = [lab.store, *[await lab.another() for _ in range(3)]]

    async def empty(store):
        mine = []
        while claimed := await due(store, limit=3):
            assert len(claimed) <= 3
            mine += [it.id for it in claimed]
        return mine

    claimed = [id for mine in await asyncio.gather(*map(empty, stores * 2)) for id in mine]

    claimed += await empty(lab.store)  # SKIP LOCKED may show an empty outbox for a moment
    assert Counter(claimed).most_common(1)[0][1] == 1
    assert len(claimed) == 40


async def test_the_longest_due_goes_first(lab):
    first = await end_one(lab, "a")
    second = await end_one(lab, "b")
    await lab.store.settle(second, Retry(-20, ""))
    await lab.store.settle(first, Retry(-10, ""))

    assert [it.id for it in await due(lab.store, limit=1)] == [second.id]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(Delivered("200"), DeliveryState.DELIVERED), (GiveUp("410 \0"), DeliveryState.GIVEN_UP)],
)
async def test_a_settled_delivery_is_never_due_again(lab, outcome, state):
    delivery = await end_one(lab)

    assert await lab.store.settle(delivery, outcome)
    assert not await lab.store.settle(delivery, Retry(0, "late"))

    assert await due(lab.store) == []
    (kept,) = await lab.store.list_deliveries(limit=10)
    assert (kept.state, kept.attempt) == (state, 1)
    assert kept.note.startswith(outcome.note[:3])


async def test_a_failed_one_is_due_again_when_told(lab):
    delivery = await end_one(lab)

    await lab.store.settle(delivery, Retry(3600, "503"))

    assert await due(lab.store) == []
    (kept,) = await lab.store.list_deliveries(limit=10)
    assert (kept.state, kept.note) == (DeliveryState.WAITING, "503")


async def test_a_postponed_one_keeps_its_attempt(lab):
    delivery = await end_one(lab)

    await lab.store.settle(delivery, Postpone(0))

    (again,) = await due(lab.store)
    assert again.attempt == 1


async def test_only_the_current_attempt_settles(lab):
    first = await end_one(lab)
    await lab.store.settle(first, Retry(0, ""))
    (second,) = await due(lab.store)

    assert not await lab.store.settle(first, Delivered("too late"))
    assert await lab.store.settle(second, Delivered("200"))


async def test_a_replay_is_due_at_once_from_the_first_attempt(lab):
    delivery = await end_one(lab)
    await lab.store.settle(delivery, GiveUp("410"))
    ringing = asyncio.create_task(lab.store.changed(10))
    await asyncio.sleep(0)

    replayed = await lab.store.replay(delivery.id)

    await ringing
    (again,) = await due(lab.store)
    assert replayed.state is DeliveryState.WAITING
    assert (again.id, again.attempt) == (delivery.id, 1)


async def test_an_unknown_delivery_cannot_be_replayed(store):
    assert await store.replay("nobody") is None


async def test_the_newest_are_listed_first(lab):
    ids = [(await end_one(lab, id)).id for id in "abc"]

    assert [it.id for it in await lab.store.list_deliveries(limit=2)] == ids[:0:-1]


async def test_what_a_dead_sender_had_begun_is_due_at_once(lab):
    for id in ("begun", "told", "another's"):
        await lab.add(id, webhook=ENDS)
        await lab.store.advance(id, Cancel("ada"))
    (begun,) = await lab.store.deliveries(limit=1, lease_s=60, sender="dead")
    (told,) = await lab.store.deliveries(limit=1, lease_s=60, sender="dead")
    await lab.store.deliveries(limit=1, lease_s=60, sender="alive")
    await lab.store.settle(told, Delivered("it answered 200"))

    released = await lab.store.release_deliveries("dead")

    assert released == 1
    (again,) = await due(lab.store)
    assert (again.id, again.attempt) == (begun.id, 2)
    assert await lab.store.settle(begun, Delivered("late")) is False


async def test_a_delivery_that_waits_for_its_next_try_is_nobodys(lab):
    await lab.add("a", webhook=ENDS)
    await lab.store.advance("a", Cancel("ada"))
    (delivery,) = await lab.store.deliveries(limit=1, lease_s=60, sender="w")

    await lab.store.settle(delivery, Retry(3600.0, "it answered 500"))

    assert await lab.store.release_deliveries("w") == 0
    assert await due(lab.store) == []
