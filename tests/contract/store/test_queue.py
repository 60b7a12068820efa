"""Order of claim: priority, then fair tag, then age; position is a count."""

from retouch.domain.prediction import Cancel, Fence, Requeue


async def claim_all(store):
    return [p.id for p in await store.claim("w", limit=1000, lease_s=60)]


async def test_one_owners_predictions_go_in_order_of_age(lab):
    ids = [(await lab.add()).id for _ in range(6)]

    assert await claim_all(lab.store) == ids


async def test_a_claim_takes_no_more_than_its_limit(lab):
    for _ in range(5):
        await lab.add()

    assert len(await lab.store.claim("w", limit=3, lease_s=60)) == 3
    assert len(await lab.store.claim("w", limit=3, lease_s=60)) == 2


async def test_higher_priority_goes_first(lab):
    await lab.add("low", priority=-1)
    await lab.add("normal")
    await lab.add("high", priority=5)

    assert await claim_all(lab.store) == ["high", "normal", "low"]


async def test_a_newcomer_does_not_wait_behind_forty_jobs_of_another_key(lab):
    for _ in range(40):
        await lab.add(owner="busy")
    await lab.store.claim("w", limit=4, lease_s=60)

    await lab.add("new", owner="newcomer")

    assert await lab.store.position("new") == 0
    (next_one,) = await lab.store.claim("w", limit=1, lease_s=60)
    assert next_one.id == "new"


async def test_two_keys_take_turns_however_many_each_has_queued(lab):
    for number in range(6):
        await lab.add(f"a{number}", owner="a")
    for number in range(3):
        await lab.add(f"b{number}", owner="b")

    order = await claim_all(lab.store)

    assert order[:6] == ["a0", "b0", "a1", "b1", "a2", "b2"]


async def test_a_key_with_dear_jobs_gets_fewer_of_them(lab):
    for number in range(4):
        await lab.add(f"dear{number}", owner="a", cost=3.0)
    for number in range(7):
        await lab.add(f"cheap{number}", owner="b", cost=1.0)

    order = await claim_all(lab.store)

    assert [id for id in order[:8] if id.startswith("dear")] == ["dear0", "dear1"]


async def test_an_idle_key_saves_up_no_credit(lab):
    for number in range(10):
        await lab.add(f"a{number}", owner="a")
    await lab.store.claim("w", limit=8, lease_s=60)
    for number in range(10):
        await lab.add(f"b{number}", owner="b")

    order = await claim_all(lab.store)

    assert order.index("a9") < order.index("b3")


async def test_urgent_work_does_not_move_the_clock_of_the_rest(lab):
    for _ in range(5):
        await lab.add(owner="busy")
    for _ in range(20):
        await lab.add(owner="urgent", priority=9)
    await lab.store.claim("w", limit=20, lease_s=60)

    await lab.add("new", owner="newcomer")

    assert await lab.store.position("new") == 1


async def test_a_requeued_prediction_keeps_its_place(lab):
    ids = [(await lab.add()).id for _ in range(4)]
    await lab.store.claim("w", limit=2, lease_s=60)

    await lab.store.advance(ids[0], Requeue("interrupted"), fence=Fence("w", 1))

    assert await lab.store.position(ids[0]) == 0
    assert await lab.store.position(ids[2]) == 1


async def test_position_counts_who_goes_before(lab):
    for id, priority in (("a", 0), ("b", 0), ("c", 0), ("urgent", 1)):
        await lab.add(id, priority=priority)

    positions = [await lab.store.position(id) for id in ("urgent", "a", "b", "c")]
    await lab.store.advance("a", Cancel("ada"))

    assert positions == [0, 1, 2, 3]
    assert await lab.store.position("c") == 2


async def test_only_the_queued_have_a_position(lab):
    await lab.add("a")
    await lab.store.claim("w", limit=1, lease_s=60)

    assert await lab.store.position("a") is None
    assert await lab.store.position("unknown") is None
