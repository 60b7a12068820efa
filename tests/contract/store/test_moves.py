"""The life of a prediction: claim, finish, cancel, requeue, lease and fence."""

import asyncio

import pytest

from retouch.domain.failure import Failure, FailureKind
from retouch.domain.prediction import (
    MAX_ATTEMPTS,
    MAX_CRASHES,
    MAX_RESTARTS,
    WORKER_CRASHED,
    WORKER_LOST,
    Cancel,
    Fail,
    Fence,
    Output,
    Progress,
    Requeue,
    Start,
    Status,
    Succeed,
)

OUTPUT = Output("a/1/0.png", "image/png", 1024, 768, 99)
FAILURE = Failure(FailureKind.TOO_MANY_PIXELS, "too large", 2)
FAILURE = Failure(FailureKind.TOO_MANY_PIXELS, "too large", 2)
DONE = Succeed((OUTPUT,), {"predict_time": 1.5}, "two lines\n")


async def names(store, id):
    return [event.name for event in await store.events(id)]


async def test_a_claimed_prediction_is_running_and_held(lab):
    await lab.add("a")

    (claimed,) = await lab.store.claim("w", limit=4, lease_s=60)

    assert (claimed.status, claimed.worker, claimed.attempt) == (Status.RUNNING, "w", 1)
    assert claimed.started_at is not None
    assert await lab.store.get("a") == claimed
    (_, started) = await lab.store.events("a")
    assert (started.name, started.at) == ("started", claimed.started_at)
    assert started.data == {"worker": "w", "attempt": 1}


async def test_an_empty_queue_gives_nothing(store):
    assert await store.claim("w", limit=4, lease_s=60) == []


async def test_success_stores_what_was_made(lab):
    await lab.add("a")
    await lab.store.claim("w", limit=1, lease_s=60)

    done = await lab.store.advance("a", DONE, fence=Fence("w", 1))

    assert done is not None
    assert (done.status, done.outputs, done.worker) == (Status.SUCCEEDED, (OUTPUT,), None)
    assert (done.metrics, done.logs) == (DONE.metrics, DONE.logs)
    assert done.completed_at >= done.started_at
    assert await lab.store.get("a") == done
    assert await names(lab.store, "a") == ["created", "started", "succeeded"]


async def test_failure_stores_a_sentence_whatever_bytes_are_in_it(lab):
    await lab.add("a")
    await lab.store.claim("w", limit=1, lease_s=60)

    failed = await lab.store.advance(
        "a", Fail(Failure(FailureKind.UNFETCHED, "nul \0 and \ud800", 1), logs="\0")
    )

    assert failed is not None
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error.startswith("nul ")
    (*_, event) = await lab.store.events("a")
    assert event.name == "failed"


async def test_a_queued_prediction_can_fail_and_be_canceled(lab):
    await lab.add("a")
    await lab.add("b")

    failed = await lab.store.advance("a", Fail(FAILURE))
    canceled = await lab.store.advance("b", Cancel("deadline"))

    assert failed is not None
    assert failed.failure == FAILURE
    assert canceled is not None
    assert canceled.status is Status.CANCELED
    assert (await lab.store.events("b"))[-1].data == {"by": "deadline"}
    assert await lab.store.claim("w", limit=4, lease_s=60) == []


async def test_no_move_leaves_a_final_state(lab):
    await lab.add("a")
    await lab.store.claim("w", limit=1, lease_s=60)
    final = await lab.store.advance("a", DONE, fence=Fence("w", 1))
    moves = (DONE, Fail(FAILURE), Cancel("ada"), Requeue("abandoned"), Requeue("interrupted"))

    after = [await lab.store.advance("a", move) for move in moves]

    assert after == [None] * len(moves)
    assert await lab.store.get("a") == final
    assert len(await lab.store.events("a")) == 3


async def test_a_queued_prediction_can_neither_succeed_nor_be_requeued(lab):
    made = await lab.add("a")

    assert await lab.store.advance("a", DONE) is None
    assert await lab.store.advance("a", Requeue("abandoned")) is None
    assert await lab.store.get("a") == made


async def test_an_unknown_prediction_cannot_move(store):
    assert await store.advance("nobody", Cancel("ada")) is None
    assert await store.events("nobody") == []


async def test_only_claim_starts(lab):
    await lab.add("a")

    with pytest.raises(TypeError):
        await lab.store.advance("a", Start("w"))


@pytest.mark.parametrize("fence", [Fence("other", 1), Fence("w", 2), Fence("w", 0)])
async def test_a_move_behind_the_wrong_fence_writes_nothing(lab, fence):
    await lab.add("a")
    (claimed,) = await lab.store.claim("w", limit=1, lease_s=60)

    assert await lab.store.advance("a", DONE, fence=fence) is None
    assert await lab.store.get("a") == claimed
    assert await names(lab.store, "a") == ["created", "started"]


async def test_an_orderly_stop_gives_the_attempt_back(lab):
    await lab.add("a")
    await lab.store.claim("w", limit=1, lease_s=60)
    await lab.store.beat("w", {"a": (1, Progress(3, 28))}, lease_s=60)

    queued = await lab.store.advance("a", Requeue("interrupted"), fence=Fence("w", 1))

    assert queued is not None
    assert (queued.status, queued.attempt, queued.worker) == (Status.QUEUED, 0, None)
    assert (queued.progress, queued.started_at) == (None, None)
    assert (await lab.store.events("a"))[-1].data == {"reason": "interrupted"}
    (again,) = await lab.store.claim("v", limit=1, lease_s=60)
    assert again.attempt == 1


async def test_orderly_stops_never_use_up_the_attempts(lab):
    await lab.add("a")

    for _ in range(MAX_ATTEMPTS + 2):
        await lab.store.claim("w", limit=1, lease_s=60)
        await lab.store.advance("a", Requeue("interrupted"), fence=Fence("w", 1))

    (claimed,) = await lab.store.claim("w", limit=1, lease_s=60)
    assert claimed.attempt == 1


async def test_the_third_lost_worker_fails_the_prediction(lab):
    await lab.add("a")

    moved = []
    for _ in range(MAX_ATTEMPTS):
        await lab.store.claim("w", limit=1, lease_s=60)
        moved += await lab.store.release("w")

    assert [p.status for p in moved] == ["queued", "queued", "failed"]
    last = await lab.store.get("a")
    assert last == moved[-1]
    assert (last.failure, last.attempt) == (WORKER_LOST, MAX_ATTEMPTS)
    assert last.completed_at is not None
    retried = ["started", "requeued"] * (MAX_ATTEMPTS - 1)
    assert await names(lab.store, "a") == ["created", *retried, "started", "failed"]
    assert (await lab.store.events("a"))[-1].data == {"error": WORKER_LOST.error}


async def test_giving_up_by_hand_counts_like_a_death(lab):
    await lab.add("a")

    for attempt in range(1, MAX_ATTEMPTS + 1):
        await lab.store.claim("w", limit=1, lease_s=60)
        last = await lab.store.advance("a", Requeue("abandoned"), fence=Fence("w", attempt))

    assert last is not None
    assert (last.status, last.failure) == (Status.FAILED, WORKER_LOST)


async def test_the_second_crash_fails_the_prediction(lab):
    await lab.add("a")

    moved = []
    for _ in range(MAX_CRASHES):
        await lab.store.claim("w", limit=1, lease_s=60)
        moved += await lab.store.release("w", loss="crashed")

    assert [(p.status, p.crashes) for p in moved] == [("queued", 1), ("failed", 2)]
    last = await lab.store.get("a")
    assert last == moved[-1]
    assert (last.failure, last.attempt) == (WORKER_CRASHED, MAX_CRASHES)
    steps = ["created", "started", "requeued", "started", "failed"]
    assert await names(lab.store, "a") == steps
    assert (await lab.store.events("a"))[2].data == {"reason": "crashed"}


async def test_crashes_and_other_losses_share_the_attempts(lab):
    await lab.add("a")

    for loss in ("abandoned", "crashed", "abandoned"):
        await lab.store.claim("w", limit=1, lease_s=60)
        (last,) = await lab.store.release("w", loss=loss)

    assert (last.status, last.failure, last.crashes) == (Status.FAILED, WORKER_LOST, 1)


async def test_a_server_may_be_killed_often_before_a_prediction_is_given_up(lab):
    await lab.add("a")

    moved = []
    for _ in range(MAX_RESTARTS):
        await lab.store.claim("w", limit=1, lease_s=60)
        moved += await lab.store.release("w", loss="restarted")

    assert [p.status for p in moved] == ["queued"] * (MAX_RESTARTS - 1) + ["failed"]
    assert (moved[-1].failure, moved[-1].crashes) == (WORKER_LOST, 0)


async def test_a_lapsed_lease_is_no_crash(lab):
    await lab.add("a")
    await lab.store.claim("w", limit=1, lease_s=0)

    (queued,) = await lab.store.release()

    assert queued.crashes == 0


async def test_what_a_worker_crashed_under_is_run_alone(lab):
    for id in ("suspect", "other"):
        await lab.add(id)
    await lab.store.claim("w", limit=1, lease_s=60)
    await lab.store.release("w", loss="crashed")

    alone = await lab.store.claim("w", limit=8, lease_s=60)
    nothing_beside = await lab.store.claim("w", limit=8, lease_s=60)
    elsewhere = await lab.store.claim("v", limit=8, lease_s=60)

    assert [p.id for p in alone] == ["suspect"]
    assert nothing_beside == []
    assert [p.id for p in elsewhere] == ["other"]


async def test_a_worker_finishes_what_it_holds_before_it_takes_a_suspect(lab):
    for id in ("suspect", "held", "waits"):
        await lab.add(id)
    await lab.store.claim("dead", limit=1, lease_s=60)
    await lab.store.claim("w", limit=1, lease_s=60)
    await lab.store.release("dead", loss="crashed")

    blocked = await lab.store.claim("w", limit=8, lease_s=60)
    await lab.store.advance("held", DONE, fence=Fence("w", 1))
    then = await lab.store.claim("w", limit=8, lease_s=60)

    assert blocked == []
    assert [p.id for p in then] == ["suspect"]


async def test_what_stands_before_a_suspect_is_claimed_without_it(lab):
    await lab.add("suspect")
    await lab.store.claim("w", limit=1, lease_s=60)
    await lab.store.release("w", loss="crashed")
    for id in ("urgent", "urgent too"):
        await lab.add(id, priority=1)

    claimed = await lab.store.claim("w", limit=8, lease_s=60)

    assert [p.id for p in claimed] == ["urgent", "urgent too"]


async def test_release_of_a_worker_frees_only_what_it_holds(lab):
    for id in "abcd":
        await lab.add(id)
    await lab.store.claim("dead", limit=2, lease_s=60)
    await lab.store.claim("alive", limit=2, lease_s=60)

    freed = await lab.store.release("dead")

    assert sorted(p.id for p in freed) == ["a", "b"]
    assert await lab.store.statuses("abcd") == {
        "a": "queued", "b": "queued", "c": "running", "d": "running"
    }  # fmt: skip
    assert await lab.store.release("dead") == []


async def test_only_lapsed_leases_are_released(lab):
    await lab.add("a")
    await lab.add("b")
    await lab.store.claim("lapsed", limit=1, lease_s=0)
    await lab.store.claim("held", limit=1, lease_s=60)

    freed = await lab.store.release()

    assert [p.id for p in freed] == ["a"]
    assert await lab.store.release() == []


async def test_a_beat_renews_the_lease_and_publishes_progress(lab):
    await lab.add("a")
    await lab.store.claim("w", limit=1, lease_s=0)

    beat = await lab.store.beat("w", {"a": (1, Progress(7, 28))}, lease_s=60)

    assert not beat.canceled | beat.lost
    assert await lab.store.release() == []
    assert (await lab.store.get("a")).progress == Progress(7, 28)


async def test_a_beat_without_news_keeps_the_progress(lab):
    await lab.add("a")
    await lab.store.claim("w", limit=1, lease_s=60)
    await lab.store.beat("w", {"a": (1, Progress(7, 28))}, lease_s=60)

    await lab.store.beat("w", {"a": (1, None)}, lease_s=60)

    assert (await lab.store.get("a")).progress == Progress(7, 28)


async def test_a_beat_publishes_previews_and_keeps_them_until_the_next(lab):
    await lab.add("a")
    await lab.store.claim("w", limit=1, lease_s=60)

    await lab.store.beat("w", {"a": (1, Progress(7, 28, previews=1))}, lease_s=60)
    await lab.store.beat("w", {"a": (1, Progress(8, 28))}, lease_s=60)

    assert (await lab.store.get("a")).progress == Progress(8, 28, previews=1)


async def test_another_attempt_has_no_previews_yet(lab):
    await lab.add("a")
    await lab.store.claim("w", limit=1, lease_s=60)
    await lab.store.beat("w", {"a": (1, Progress(7, 28, previews=1))}, lease_s=60)
    await lab.store.release("w")
    await lab.store.claim("w", limit=1, lease_s=60)

    await lab.store.beat("w", {"a": (2, Progress(1, 28))}, lease_s=60)

    assert (await lab.store.get("a")).progress == Progress(1, 28)


async def test_previews_are_dropped_once_and_only_of_what_is_over(lab):
    for id in ("plain", "running", "over"):
        await lab.add(id)
    await lab.store.claim("w", limit=3, lease_s=60)
    shown, fence = Progress(1, 2, previews=1), Fence("w", 1)
    await lab.store.beat("w", {"running": (1, shown), "over": (1, shown)}, lease_s=60)
    for id in ("plain", "over"):
        await lab.store.advance(id, Fail(FAILURE), fence=fence)

    too_early = await lab.store.drop_previews(ended_for_s=60, limit=9)
    dropped = await lab.store.drop_previews(ended_for_s=0, limit=9)

    assert (too_early, dropped) == ([], ["over"])
    assert await lab.store.drop_previews(ended_for_s=0, limit=9) == []
    assert (await lab.store.get("over")).progress == Progress(1, 2)
    assert (await lab.store.get("running")).progress == shown


async def test_a_beat_tells_canceled_from_lost(lab):
    for id in ("kept", "canceled", "taken", "over"):
        await lab.add(id)
    await lab.store.claim("w", limit=4, lease_s=60)
    await lab.store.advance("canceled", Cancel("ada"))
    await lab.store.advance("over", Fail(FAILURE))
    await lab.store.advance("taken", Requeue("abandoned"))
    held = dict.fromkeys(("kept", "canceled", "taken", "over", "unknown"), (1, None))

    beat = await lab.store.beat("w", held, lease_s=60)

    assert beat.canceled == {"canceled"}
    assert beat.lost == {"taken", "over", "unknown"}


async def test_an_empty_beat_answers_nothing(store):
    beat = await store.beat("w", {}, lease_s=60)

    assert not beat.canceled | beat.lost


async def test_cancel_of_a_running_prediction_moves_it_at_once(lab):
    await lab.add("a")
    await lab.store.claim("w", limit=1, lease_s=60)

    canceled = await lab.store.advance("a", Cancel("ada"))

    assert canceled is not None
    assert canceled.status is Status.CANCELED
    assert await lab.store.advance("a", DONE, fence=Fence("w", 1)) is None
    assert await lab.store.release("w") == []


async def test_a_cancel_does_not_outlive_its_attempt(lab):
    await lab.add("a")
    await lab.add("b")
    await lab.store.claim("w", limit=2, lease_s=60)
    await lab.store.advance("a", Cancel("ada"))
    await lab.store.release("w")

    again = await lab.store.claim("w", limit=2, lease_s=60)

    assert [p.id for p in again] == ["b"]
    assert not (await lab.store.beat("w", {"b": (2, None)}, lease_s=60)).canceled


async def test_events_have_one_growing_number_and_a_cursor(lab):
    await lab.add("a")
    await lab.add("b")
    await lab.store.claim("w", limit=2, lease_s=60)

    first, second = await lab.store.events("a")
    others = {event.seq for event in await lab.store.events("b")}

    assert first.seq < second.seq
    assert not others & {first.seq, second.seq}
    assert await lab.store.events("a", after=first.seq) == [second]
    assert await lab.store.events("a", after=second.seq) == []


async def test_a_write_wakes_who_waits(lab):
    other = await lab.another()
    waiting = asyncio.create_task(other.changed(30))
    await asyncio.sleep(0)

    async def keep_writing():
        while not waiting.done():
            await lab.add()
            await asyncio.sleep(0.01)

    await asyncio.wait_for(asyncio.gather(waiting, keep_writing()), 30)


async def test_waiting_ends_by_the_timeout(store):
    await asyncio.wait_for(store.changed(0.01), 30)


async def test_stop_is_safe_twice(store):
    await store.stop()
    await store.stop()
