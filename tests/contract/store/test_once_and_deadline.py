"""Creates that happen once, and predictions that end by themselves."""

import asyncio
import time

import pytest

from retouch.domain.prediction import NOT_STARTED, Cancel, Fence, Requeue, Status, Succeed
from retouch.ports import ONCE_WITHIN_S
from retouch.testing import FakeClock

DAY_S = 86_400.0


def now(lab):
    return FakeClock().now() if lab.url is None else time.time()


async def names(store, id):
    return [event.name for event in await store.events(id)]


# -- once ----------------------------------------------------------------------------------------


async def test_the_first_of_its_kind_is_found_with_its_fingerprint(lab):
    made = lab.make(created_at=now(lab))
    await lab.store.add(made, fingerprint="f", once="k")
    await lab.store.add(lab.make(created_at=now(lab)), fingerprint="f")

    assert await lab.store.first("k") == (made, "f")
    assert await lab.store.first("other") is None


async def test_a_second_is_refused_and_writes_nothing(lab):
    first, second = lab.make(created_at=now(lab)), lab.make(created_at=now(lab))
    await lab.store.add(first, once="k")

    with pytest.raises(ValueError, match=second.id):
        await lab.store.add(second, once="k")

    assert await lab.store.get(second.id) is None
    assert await lab.store.events(second.id) == []


async def test_of_many_at_once_one_is_added_and_the_rest_of_the_batch_too(lab):
    other = await lab.another()
    twins = [lab.make(created_at=now(lab)) for _ in range(10)]
    plain = [lab.make(created_at=now(lab)) for _ in range(10)]

    added = await asyncio.gather(
        *(store.add(it, once="k") for store, it in zip([lab.store, other] * 5, twins, strict=True)),
        *(lab.store.add(it) for it in plain),
        return_exceptions=True,
    )

    assert [type(it) for it in added if it is not None] == [ValueError] * 9
    assert len(await lab.store.page(None, limit=100)) == 11


async def test_after_a_day_it_may_happen_again(lab):
    first = lab.make(created_at=now(lab) - ONCE_WITHIN_S - 60)
    second = lab.make(created_at=now(lab))
    await lab.store.add(first, once="k")

    assert await lab.store.first("k") is None
    await lab.store.add(second, once="k")

    assert await lab.store.first("k") == (second, None)
    assert await lab.store.get(first.id) == first


# -- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("claimed", [False, True])
async def test_past_its_deadline_it_is_canceled_queued_or_running(lab, claimed):
    made = await lab.add("a", deadline=now(lab) - 1)
    await lab.add("b", deadline=now(lab) + DAY_S)
    await lab.add("c")
    if claimed:
        await lab.store.claim("w", limit=3, lease_s=60)

    (moved,) = await lab.store.expire()

    assert made.deadline == moved.deadline
    assert (moved.id, moved.status, moved.worker) == ("a", Status.CANCELED, None)
    assert await lab.store.get("a") == moved
    assert (await lab.store.events("a"))[-1].data == {"by": "deadline"}
    assert await lab.store.expire() == []
    if claimed:
        assert (await lab.store.beat("w", {"a": (1, None)}, lease_s=60)).canceled == {"a"}


async def test_what_is_over_has_no_deadline_any_more(lab):
    await lab.add("a", deadline=now(lab) - 1)
    await lab.store.claim("w", limit=1, lease_s=60)
    await lab.store.advance("a", Succeed((), {}), fence=Fence("w", 1))

    assert await lab.store.expire() == []
    assert (await lab.store.get("a")).status is Status.SUCCEEDED


async def test_what_nobody_started_in_time_fails(lab):
    await lab.add("a", start_by=now(lab) - 1)
    await lab.add("b", start_by=now(lab) + DAY_S)
    await lab.add("c")

    (moved,) = await lab.store.expire()

    assert (moved.id, moved.status, moved.failure) == ("a", Status.FAILED, NOT_STARTED)
    assert await lab.store.get("a") == moved
    assert await names(lab.store, "a") == ["created", "failed"]
    assert await lab.store.expire() == []


async def test_what_was_started_in_time_may_run_and_wait_again(lab):
    await lab.add("a", start_by=now(lab) - 1)
    (claimed,) = await lab.store.claim("w", limit=1, lease_s=60)

    assert claimed.start_by is None
    assert await lab.store.expire() == []
    await lab.store.advance("a", Requeue("interrupted"), fence=Fence("w", 1))
    assert await lab.store.expire() == []
    assert (await lab.store.get("a")).status is Status.QUEUED


async def test_a_deadline_and_an_owner_race_to_one_winner(lab):
    other = await lab.another()
    ids = [(await lab.add(deadline=now(lab) - 1)).id for _ in range(10)]

    await asyncio.gather(
        lab.store.expire(), other.expire(), *(other.advance(id, Cancel("ada")) for id in ids)
    )
    await lab.store.expire()

    for id in ids:
        assert await names(lab.store, id) == ["created", "canceled"]
