"""Which workers are up, and how long the queue has waited."""

from retouch.domain.prediction import Cancel


async def test_a_worker_is_enlisted_with_its_latest_figures_until_it_is_struck(lab):
    await lab.store.enlist("b", "old")
    await lab.store.enlist("a", "figures of a")
    await lab.store.enlist("b", "new")

    assert await lab.store.enlisted(within_s=60) == {"a": "figures of a", "b": "new"}

    await lab.store.strike("b")
    await lab.store.strike("nobody")

    assert await lab.store.enlisted(within_s=60) == {"a": "figures of a"}


async def test_a_worker_that_is_silent_is_left_out_and_at_last_forgotten(lab):
    await lab.store.enlist("a", "")

    assert await lab.store.enlisted(within_s=-1) == {}

    await lab.store.strike_silent(for_s=60)
    assert list(await lab.store.enlisted(within_s=60)) == ["a"]

    await lab.store.strike_silent(for_s=-1)
    assert await lab.store.enlisted(within_s=60) == {}


async def test_the_oldest_wait_is_that_of_the_longest_queued(lab):
    assert await lab.store.oldest_wait_s() is None

    first = await lab.add()
    await lab.add()
    alone = await lab.store.oldest_wait_s()
    await lab.store.advance(first.id, Cancel("ada"))
    left = await lab.store.oldest_wait_s()

    assert alone > left > 1_000_000  # they were made in January 1970
    assert alone - left < 1.5
