"""Forgetting on time, on demand, and after a crash in the middle."""

from typing import Any

import pytest

from retouch.domain.errors import NotFound
from retouch.domain.failure import Failure, FailureKind
from retouch.domain.grant import Grant
from retouch.domain.prediction import Kept, Status
from retouch.service.eraser import Eraser

CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
PICTURE = "data:image/png;base64,iVBORw0KGgo="
BODY = {"input": {"prompt": "a secret plan", "input_image": PICTURE}}
DAY_S = 86_400


async def finished(front: Any) -> str:
    await front.client.post(CREATE, json=BODY)
    return str((await front.finish_one()).id)


async def shown(front: Any, id: str) -> dict[str, Any]:
    body: dict[str, Any] = (await front.client.get(f"/v1/predictions/{id}")).json()
    return body


async def test_each_part_goes_at_its_time(front: Any) -> None:
    id = await finished(front)
    output = (await shown(front, id))["output"]
    assert len(await front.blobs.list("")) == 2

    assert await front.janitor.sweep() == 0
    front.clock.advance(DAY_S)
    assert await front.janitor.sweep() == 1
    assert await front.blobs.list("inputs") == []
    assert (await shown(front, id))["input"] == {"input_image": None, "prompt": "a secret plan"}
    assert not (await shown(front, id))["data_removed"]

    front.clock.advance(6 * DAY_S)
    assert await front.janitor.sweep() == 1
    assert await front.blobs.list("") == []
    after_week = await shown(front, id)
    assert (after_week["output"], after_week["data_removed"]) == (None, True)
    assert (await front.client.get(output)).status_code in (403, 404)

    front.clock.advance(23 * DAY_S)
    assert await front.janitor.sweep() == 1
    after_month = await shown(front, id)
    assert (after_month["id"], after_month["status"]) == (id, "succeeded")
    assert (after_month["input"], after_month["logs"], after_month["error"]) == ({}, "", None)
    assert await front.janitor.sweep() == 0


async def test_a_keys_own_times_hold_for_what_it_made(front: Any) -> None:
    brief = await front.key("ada", Grant(keep_inputs_s=60, keep_outputs_s=120, keep_record_s=0))
    await front.client.post(CREATE, json=BODY, headers=brief)
    id = (await front.finish_one()).id

    left = []
    for wait_s in (59, 1, 60, 31 * DAY_S):
        front.clock.advance(wait_s)
        await front.janitor.sweep()
        left.append(len(await front.blobs.list("")))

    assert left == [2, 1, 0, 0]
    kept = (await front.client.get(f"/v1/predictions/{id}", headers=brief)).json()
    assert kept["input"]["prompt"] == "a secret plan"


async def test_more_than_a_batch_goes_in_one_sweep(front: Any) -> None:
    for _ in range(230):
        await front.client.post(CREATE, json={"input": {"prompt": "x"}})
        await front.finish_one(failure=Failure(FailureKind.INTERNAL, "no"))
    front.clock.advance(30 * DAY_S)

    await front.janitor.sweep()

    assert await front.store.outdated(Kept.RECORD, keep_s=0, now=1e12, limit=9) == []


async def test_a_crash_between_bytes_and_row_is_finished_by_the_next_sweep(front: Any) -> None:
    id = await finished(front)

    class Crash(Exception):
        pass

    async def crash(*_: Any) -> int:
        raise Crash

    erase, front.store.erase = front.store.erase, crash
    front.clock.advance(30 * DAY_S)
    with pytest.raises(Crash):
        await front.janitor.sweep()
    assert (await front.store.get(id)).outputs  # the row still names what may be gone

    front.store.erase = erase
    await front.janitor.sweep()

    assert await front.blobs.list("") == []
    assert (await front.store.get(id)).data_removed


async def test_what_is_not_over_is_kept(front: Any) -> None:
    await front.client.post(CREATE, json=BODY)
    front.clock.advance(365 * DAY_S)

    assert await front.janitor.sweep() == 0
    assert len(await front.blobs.list("inputs")) == 1


async def test_deleting_removes_everything_but_the_id(front: Any) -> None:
    id = await finished(front)
    eraser = Eraser(store=front.store, blobs=front.blobs)

    assert await eraser.delete(id, "local")

    assert await front.blobs.list("") == []
    left = await front.store.get(id)
    assert (left.status, left.data_removed, left.input) == (Status.SUCCEEDED, True, {})
    assert not await eraser.delete(id, "local")


async def test_nobody_deletes_what_is_anothers(front: Any) -> None:
    id = await finished(front)

    with pytest.raises(NotFound):
        await Eraser(store=front.store, blobs=front.blobs).delete(id, "eve")

    assert len(await front.blobs.list("")) == 2


@pytest.mark.parametrize("kept", [Kept.OUTPUTS, Kept.RECORD])
async def test_every_protocol_shows_what_is_left(front: Any, kept: Kept) -> None:
    await front.client.post("/v1/flux-kontext-pro", json={"prompt": "x"})
    id = (await front.finish_one()).id
    await front.services.eraser.erase([await front.store.get(id)], kept)
    name = "fal-ai/flux-pro/kontext"

    answers = {
        "replicate": await front.client.get(f"/v1/predictions/{id}"),
        "listed": await front.client.get("/v1/predictions"),
        "fal": await front.client.get(f"/queue/{name}/requests/{id}"),
        "fal status": await front.client.get(f"/queue/{name}/requests/{id}/status"),
        "wavespeed": await front.client.get(f"/api/v3/predictions/{id}/result"),
        "bfl": await front.client.get(f"/v1/get_result?id={id}"),
    }

    assert {at for at, it in answers.items() if it.status_code >= 500} == set()
    assert answers["replicate"].json()["data_removed"] is True
    assert answers["listed"].json()["results"][0]["id"] == id
    assert answers["fal"].status_code == 404
    assert answers["wavespeed"].json()["data"]["outputs"] == []
    assert answers["bfl"].json()["status"] == "Task not found"
