"""Forgetting: each part for itself, then everything but that there once was a prediction."""

import pytest

from retouch.domain.edit import BlobImage, Edit, MaskImage, UrlImage
from retouch.domain.failure import Failure, FailureKind
from retouch.domain.prediction import Cancel, Fail, Fence, Kept, Output, Status, Succeed, Webhook
from retouch.ports import Filter

OUTPUT = Output("a/1/0.png", "image/png", 8, 8, 9)
HOOK = Webhook(
    url="https://hooks.example/x",
    tells=frozenset({Status.SUCCEEDED}),
    origin="https://edit.example",
    secret="the caller's own",  # noqa: S106
)
FOREVER = 1e12


async def finished(lab, id="a", **fields):
    """A prediction with pictures, a webhook and a result."""
    images = (BlobImage(f"inputs/{id}/0"), UrlImage("https://pictures.example/cat.png"))
    edit = Edit(prompt="make it snow", images=images)
    fields = {"input": {"prompt": "make it snow", "image": {"blob": f"inputs/{id}/0"}}} | fields
    made = lab.make(id, edit=edit, webhook=HOOK, **fields)
    await lab.store.add(made, fingerprint="f", once=f"once {id}")
    await lab.store.claim("w", limit=1, lease_s=60)
    move = Succeed((OUTPUT,), {"predict_time": 1.0}, "a log")
    return await lab.store.advance(id, move, fence=Fence("w", 1))


@pytest.mark.parametrize("kept", Kept)
async def test_what_is_over_is_outdated_once_its_time_has_passed(lab, kept):
    done = await finished(lab)
    await lab.add("queued")

    assert [p.id for p in await lab.store.outdated(kept, keep_s=0.0, now=FOREVER, limit=9)] == ["a"]
    assert await lab.store.outdated(kept, keep_s=0.0, now=done.completed_at - 1, limit=9) == []
    assert await lab.store.erase(["a"], kept)
    assert await lab.store.outdated(kept, keep_s=0.0, now=FOREVER, limit=9) == []
    assert not await lab.store.erase(["a"], kept)


async def test_only_what_has_outputs_has_outputs_to_forget(lab):
    await lab.add("a")
    await lab.store.advance("a", Fail(Failure(FailureKind.INTERNAL, "no")))

    assert await lab.store.outdated(Kept.OUTPUTS, keep_s=0.0, now=FOREVER, limit=9) == []
    assert len(await lab.store.outdated(Kept.RECORD, keep_s=0.0, now=FOREVER, limit=9)) == 1


@pytest.mark.parametrize("kept", Kept)
async def test_what_has_a_time_of_its_own_goes_by_that(lab, kept):
    done = [
        await finished(lab, id, keep_s=keep_s)
        for id, keep_s in {"a": {}, "b": {kept: 10}, "c": {kept: 90}, "d": {kept: 0}}.items()
    ]
    first, last = done[0].completed_at, done[-1].completed_at
    assert [it.keep_s for it in done] == [{}, {kept: 10}, {kept: 90}, {kept: 0}]

    async def old(now, keep_s):
        found = await lab.store.outdated(kept, keep_s=keep_s, now=now, limit=9)
        return sorted(it.id for it in found)

    assert await old(first + 9, 50) == []
    assert await old(last + 10, 50) == ["b"]
    assert await old(last + 50, 50) == ["a", "b"]
    assert await old(FOREVER, 50) == ["a", "b", "c"]
    assert await old(FOREVER, None) == ["b", "c"]
    assert len(await lab.store.outdated(kept, keep_s=50, now=FOREVER, limit=2)) == 2
    assert await lab.store.erase(["b"], kept)
    assert await old(last + 50, 50) == ["a"]


async def test_the_oldest_is_forgotten_first(lab):
    for id in ("b", "a", "c"):
        await lab.add(id)
        await lab.store.advance(id, Cancel("ada"))

    found = await lab.store.outdated(Kept.RECORD, keep_s=0.0, now=FOREVER, limit=2)

    assert [p.id for p in found] == ["b", "a"]


async def test_forgotten_inputs_leave_the_words_and_the_result(lab):
    done = await finished(lab)

    await lab.store.erase(["a"], Kept.INPUTS)

    left = await lab.store.get("a")
    assert left.input == {"prompt": "make it snow", "image": None}
    assert left.edit.images == (UrlImage("https://pictures.example/cat.png"),)
    assert (left.outputs, left.data_removed) == (done.outputs, False)


async def test_a_forgotten_mask_goes_with_the_inputs(lab):
    for id, image in (("own", BlobImage("inputs/own/1")), ("far", UrlImage("https://m.example/"))):
        await lab.add(id, edit=Edit(prompt="x", mask=MaskImage(image, "white")))
        await lab.store.advance(id, Cancel("ada"))

    await lab.store.erase(["own", "far"], Kept.INPUTS)

    own, far = [await lab.store.get(id) for id in ("own", "far")]
    assert own.edit.mask is None
    assert far.edit.mask == MaskImage(UrlImage("https://m.example/"), "white")


async def test_forgotten_outputs_are_told_of(lab):
    await finished(lab)

    await lab.store.erase(["a"], Kept.OUTPUTS)

    left = await lab.store.get("a")
    assert (left.outputs, left.data_removed, left.logs) == ((), True, "a log")


async def test_a_forgotten_record_leaves_only_that_it_was(lab):
    done = await finished(lab)
    assert len(await lab.store.list_deliveries(limit=9)) == 1

    await lab.store.erase(["a"], Kept.RECORD)

    left = await lab.store.get("a", owner="ada")
    assert left.data_removed
    assert (left.input, left.edit, left.outputs) == ({}, Edit(prompt=""), ())
    assert (left.logs, left.error, left.metrics, left.webhook) == ("", None, {}, None)
    assert (left.status, left.model) == (done.status, done.model)
    assert (left.created_at, left.completed_at) == (done.created_at, done.completed_at)
    assert await lab.store.events("a") == []
    assert await lab.store.list_deliveries(limit=9) == []
    assert await lab.store.first("once a") is None
    assert not await lab.store.erase(["a"], Kept.INPUTS)  # it went with the record


async def test_many_are_forgotten_at_once_and_only_they_count(lab):
    for id in ("a", "b"):
        await finished(lab, id)
    await lab.add("queued")

    assert await lab.store.erase(["a", "b", "queued", "unknown"], Kept.RECORD) == 2
    assert [len(await lab.store.events(id)) for id in ("a", "b", "queued")] == [0, 0, 1]


async def test_what_is_not_over_is_not_forgotten(lab):
    await lab.add("queued")
    await lab.add("running")

    assert not await lab.store.erase(["queued"], Kept.RECORD)
    assert not await lab.store.erase(["unknown"], Kept.RECORD)
    assert (await lab.store.get("queued")).input


async def test_a_list_may_leave_out_what_is_forgotten(lab):
    await finished(lab, "a")
    await finished(lab, "b")
    await lab.store.erase(["a"], Kept.RECORD)

    intact = await lab.store.page("ada", limit=9, where=Filter(intact=True))

    assert [p.id for p in intact] == ["b"]
    assert len(await lab.store.page("ada", limit=9)) == 2


async def test_events_keep_their_order_after_some_are_forgotten(lab):
    await finished(lab, "a")
    await lab.add("b")
    (before,) = await lab.store.events("b")
    await lab.store.erase(["a"], Kept.RECORD)

    await lab.store.advance("b", Cancel("ada"))

    assert [e.name for e in await lab.store.events("b", after=before.seq)] == ["canceled"]
