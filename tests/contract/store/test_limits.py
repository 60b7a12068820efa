"""Limits hold however many create at once, and count nothing that is over."""

import asyncio
from collections import Counter

import pytest

from retouch.domain.errors import Full, Throttled
from retouch.domain.grant import Limits, Rate
from retouch.domain.prediction import Cancel


async def burst(lab, count, limits, **fields):
    """So many creates at once, over two stores; what each came to."""
    stores = [lab.store, await lab.another()]
    made = [lab.make(**fields) for _ in range(count)]
    adding = (stores[n % 2].add(it, limits=limits) for n, it in enumerate(made))
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    return Counter(type(outcome).__name__ for outcome in outcomes)


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (Limits(max_in_flight=10), "Throttled"),
        (Limits(rate=Rate(10, 86_400.0)), "Throttled"),
        (Limits(max_queued=10), "Full"),
        (Limits(max_ahead=9), "LongQueue"),
        (Limits(max_in_flight=12, rate=Rate(10, 3600.0), max_queued=11), "Throttled"),
    ],
    ids=["in flight", "rate", "queued", "ahead", "all"],
)
async def test_a_burst_of_64_against_a_limit_of_10_admits_10(lab, limits, error):
    outcomes = await burst(lab, 64, limits)

    assert outcomes == {"NoneType": 10, error: 54}
    assert (await lab.store.depth())["queued"] == 10


async def test_a_refused_create_leaves_nothing(lab):
    await lab.store.add(lab.make("in"), limits=Limits(max_in_flight=1))

    with pytest.raises(Throttled, match="in progress are limited to 1"):
        await lab.store.add(lab.make("out"), once="k", limits=Limits(max_in_flight=1))

    assert await lab.store.get("out") is None
    assert await lab.store.events("out") == []
    assert await lab.store.first("k") is None


async def test_in_flight_is_what_waits_and_what_runs_of_one_owner(lab):
    limits = Limits(max_in_flight=2)
    await lab.add("a")
    await lab.add("b")
    await lab.add("eves", owner="eve")
    await lab.store.claim("w", limit=1, lease_s=60)

    with pytest.raises(Throttled) as refused:
        await lab.store.add(lab.make(), limits=limits)
    await lab.store.advance("a", Cancel("ada"))
    await lab.store.add(lab.make("c"), limits=limits)

    assert refused.value.in_flight
    assert refused.value.retry_after_s >= 1


async def test_a_rate_says_when_to_come_back(lab):
    limits = Limits(rate=Rate(2, 3600.0))
    for id in ("a", "b"):
        await lab.store.add(lab.make(id), limits=limits)

    with pytest.raises(Throttled, match="2/h") as refused:
        await lab.store.add(lab.make(), limits=limits)
    await lab.store.add(lab.make(owner="eve"), limits=limits)

    assert 1790 < refused.value.retry_after_s <= 1800


async def test_a_create_refused_for_another_reason_spends_no_rate(lab):
    full = Limits(rate=Rate(1, 3600.0), max_queued=0)

    with pytest.raises(Full):
        await lab.store.add(lab.make(), limits=full)

    await lab.store.add(lab.make(), limits=Limits(rate=Rate(1, 3600.0)))


async def test_the_queue_takes_more_as_it_empties(lab):
    limits = Limits(max_queued=3)
    assert await burst(lab, 5, limits) == {"NoneType": 3, "Full": 2}

    await lab.store.claim("w", limit=2, lease_s=60)

    assert await burst(lab, 5, limits, owner="eve") == {"NoneType": 2, "Full": 3}


async def test_a_limit_met_long_after_the_last_count_still_holds(lab):
    limits = Limits(max_queued=40)
    for _ in range(8):
        await burst(lab, 4, limits)
        await lab.store.claim("w", limit=1, lease_s=60)

    assert await burst(lab, 64, limits) == {"NoneType": 16, "Full": 48}
