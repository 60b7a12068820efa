"""WaveSpeed over HTTP: submitted, polled and fetched, by every base URL and the vendor's name."""

import asyncio
import base64
from typing import Any

import pytest

from retouch.domain.errors import Busy
from retouch.domain.failure import Failure, FailureKind
from retouch.domain.prediction import Cancel
from retouch.protocols import wavespeed

MODEL = "wavespeed-ai/flux-kontext-pro"
SUBMIT = f"/api/v3/{MODEL}"
CAT = "https://pictures.example/cat.png"
BODY = {"prompt": "make it blue", "image": CAT}
MOUNTS = ("/api/v3", "/api/v2", "/wavespeed/api/v3", "/wavespeed/api/v2")
KEYS = [
    "id", "model", "outputs", "urls", "has_nsfw_contents", "status", "created_at", "error",
    "timings", "executionTime",
]  # fmt: skip


async def submitted(front: Any, model: str = MODEL, **more: Any) -> dict[str, Any]:
    answer = await front.client.post(f"/api/v3/{model}", json=BODY | more.pop("body", {}), **more)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


@pytest.mark.parametrize("mount", MOUNTS)
async def test_every_base_url_works_to_the_end(front: Any, mount: str) -> None:
    answer = await front.client.post(f"{mount}/{MODEL}", json=BODY)
    made = answer.json()["data"]
    get = made["urls"]["get"]
    waiting = (await front.client.get(get)).json()["data"]
    await front.start_one()
    running = (await front.client.get(get)).json()["data"]
    await front.store.release("worker")
    await front.finish_one()
    done = (await front.client.get(get)).json()
    picture = await front.client.get(done["data"]["outputs"][0])

    assert answer.status_code == 200
    assert list(answer.json()) == list(done) == ["code", "message", "data"]
    assert list(made) == list(done["data"]) == KEYS
    assert get == f"http://127.0.0.1:8787{mount}/predictions/{made['id']}/result"
    assert (waiting["status"], running["status"]) == ("created", "processing")
    assert (done["data"]["status"], done["data"]["has_nsfw_contents"]) == ("completed", [])
    assert done["data"]["timings"] == {"inference": 1000}
    assert picture.headers["content-type"] == "image/png"
    assert (await front.client.get(get.removesuffix("/result"))).json() == done


async def test_every_model_makes_predictions(front: Any) -> None:
    for model in wavespeed.WAVESPEED.models:
        body = {"prompt": "x", "image": CAT, "images": [CAT]}
        answer = await front.client.post(f"/api/v3/{model.name}", json=body)

        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["model"] == model.name


async def test_the_vendors_own_host_reaches_it(front: Any) -> None:
    async with front.caller(base_url="https://api.wavespeed.ai") as client:
        made = (await client.post(SUBMIT, json=BODY)).json()["data"]
        done = await client.get(made["urls"]["get"])
        lost = await client.get("/v1/predictions")

    assert made["urls"]["get"].startswith("https://api.wavespeed.ai/api/v3/predictions/")
    assert done.status_code == 200
    assert lost.json()["code"] == 404


async def test_the_words_of_every_body_are_one_language(front: Any) -> None:
    mine, other = await front.key("me"), await front.key("other")
    made = await submitted(front, headers=mine)
    get = f"/api/v3/predictions/{made['id']}/result"
    seen = {
        401: await front.client.get(get),
        404: await front.client.get(get, headers=other),
        405: await front.client.put(get, headers=mine),
        400: await front.client.post(SUBMIT, json={}, headers=mine),
    }

    for status, answer in seen.items():
        body = answer.json()
        assert answer.status_code == body["code"] == status
        assert body["message"] == body["error"]
        assert body["data"] is None


@pytest.mark.parametrize("path", ["other/model", "a/b/c/d/e", "alone", "wavespeed-ai/flux-dev"])
async def test_an_unknown_model_is_not_found_as_an_object(front: Any, path: str) -> None:
    answer = await front.client.post(f"/api/v3/{path}", json=BODY)

    assert (answer.status_code, answer.json()["code"]) == (404, 404)
    assert "model not found" in answer.json()["message"]


async def test_sync_mode_answers_with_the_end(front: Any) -> None:
    body = BODY | {"enable_sync_mode": True}
    waiting = asyncio.create_task(front.client.post(SUBMIT, json=body))
    await front.store.changed(5)
    await front.finish_one()
    answer = await waiting

    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "completed")
    assert len(answer.json()["data"]["outputs"]) == 1


async def test_sync_mode_answers_a_failure_with_200(front: Any) -> None:
    body = BODY | {"enable_sync_mode": True}
    waiting = asyncio.create_task(front.client.post(SUBMIT, json=body))
    await front.store.changed(5)
    await front.finish_one(failure=Failure(FailureKind.INTERNAL, "The picture cannot be read."))
    answer = await waiting

    data = answer.json()["data"]
    assert (answer.status_code, data["status"], data["code"]) == (200, "failed", 1405)
    assert data["error"] == "The picture cannot be read."


async def test_an_expired_sync_window_names_the_task_which_goes_on(
    front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wavespeed.parse, "SYNC_WINDOW_S", 0.01)
    data = await submitted(front, body={"enable_sync_mode": True})
    await front.finish_one()
    later = (await front.client.get(data["urls"]["get"])).json()["data"]

    assert (data["status"], data["code"], data["outputs"]) == ("processing", 5004, [])
    assert data["error"].startswith("Sync mode timed out")
    assert (later["status"], later["error"]) == ("completed", "")


async def test_pictures_as_base64_text(front: Any) -> None:
    body = {"enable_base64_output": True, "output_format": "png"}
    made = await submitted(front, "wavespeed-ai/flux-kontext-dev", body=body)
    done = await front.finish_one()
    (output,) = (await front.client.get(made["urls"]["get"])).json()["data"]["outputs"]

    assert base64.b64decode(output) == await front.blobs.open(done.outputs[0].key)


async def test_several_pictures_and_their_seed(front: Any) -> None:
    body = {"num_images": 3, "seed": -1, "size": "512*768"}
    made = await submitted(front, "wavespeed-ai/flux-kontext-dev", body=body)

    edit = (await front.store.get(made["id"])).edit
    assert edit.count == 3
    assert edit.seed is not None
    assert edit.seed >= 0
    assert (edit.size.width, edit.size.height) == (512, 768)


async def test_a_canceled_task_has_failed(front: Any) -> None:
    made = await submitted(front)
    await front.store.advance(made["id"], Cancel(by="owner"))
    data = (await front.client.get(made["urls"]["get"])).json()["data"]

    assert (data["status"], data["error"]) == ("failed", "The task was canceled.")


async def test_a_webhook_without_an_address_is_refused_and_nothing_queued(front: Any) -> None:
    answer = await front.client.post(f"{SUBMIT}?webhook=hook.example", json=BODY)

    assert (answer.status_code, answer.json()["error_code"]) == (400, 1401)
    assert "webhook" in answer.json()["message"]
    assert (await front.store.depth())["queued"] == 0


async def test_an_earlier_result_is_an_input_without_the_network(front: Any) -> None:
    made = await submitted(front)
    done = await front.finish_one()
    link = (await front.client.get(made["urls"]["get"])).json()["data"]["outputs"][0]
    again = await submitted(front, body={"image": link})

    stored = await front.store.get(again["id"])
    assert [image.key for image in stored.edit.images] == [done.outputs[0].key]


async def test_each_protocol_shows_the_others_predictions_in_its_own_words(front: Any) -> None:
    here = await submitted(front)
    create = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
    there = (await front.client.post(create, json={"input": {"prompt": "x"}})).json()
    await front.finish_one()

    shown_there = (await front.client.get(f"/v1/predictions/{here['id']}")).json()
    shown_here = (await front.client.get(f"/api/v3/predictions/{there['id']}/result")).json()

    assert (shown_there["status"], shown_there["model"]) == ("succeeded", MODEL)
    assert shown_there["input"] == BODY
    assert shown_here["data"]["status"] == "created"
    assert shown_here["data"]["model"] == "black-forest-labs/flux-kontext-pro"


async def test_a_busy_server_says_that_trying_again_may_help(
    front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: Any, **__: Any) -> None:
        raise Busy("the secret", 3)

    monkeypatch.setattr(front.store, "add", busy)
    answer = await front.client.post(SUBMIT, json=BODY)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert "HTTP 503" in answer.json()["message"]
    assert "secret" not in answer.text


async def listed(front: Any, **body: Any) -> dict[str, Any]:
    answer = await front.client.post("/api/v3/predictions", json=body)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


async def test_pages_are_numbered_and_tell_whether_there_is_one_more(front: Any) -> None:
    made = []
    for _ in range(5):
        made.append((await submitted(front))["id"])
        front.clock.advance(1)

    pages = [await listed(front, page=number, page_size=2) for number in (1, 2, 3, 4)]

    assert list(pages[0]) == ["page", "total", "items"]
    assert [it["id"] for page in pages for it in page["items"]] == made[::-1]
    assert [(it["page"], it.get("total")) for it in pages] == [(1, 3), (2, 5), (3, 5), (4, None)]


async def test_a_list_is_narrowed_by_model_status_and_time(front: Any) -> None:
    first = await submitted(front)
    await front.finish_one()
    front.clock.advance(3600)
    second = await submitted(front, "wavespeed-ai/flux-kontext-dev")

    async def ids(**body: Any) -> list[str]:
        return [it["id"] for it in (await listed(front, **body))["items"]]

    assert await ids(model=MODEL) == await ids(status="completed") == [first["id"]]
    assert await ids(status="created") == [second["id"]]
    assert await ids(status="pending") == []
    assert await ids(created_after=second["created_at"]) == [second["id"]]
    assert await ids(created_before=second["created_at"]) == [first["id"]]
    assert await ids() == [second["id"], first["id"]]


async def test_a_narrowed_list_looks_beyond_the_first_batch(front: Any) -> None:
    oldest = await submitted(front)
    for _ in range(120):
        front.clock.advance(0.001)
        await submitted(front, "wavespeed-ai/flux-kontext-dev")

    (found,) = (await listed(front, model=MODEL, page_size=1))["items"]

    assert found["id"] == oldest["id"]


async def test_a_list_shows_inputs_when_asked(front: Any) -> None:
    await submitted(front)

    assert (await listed(front, include_inputs=True))["items"][0]["input"] == BODY
    assert list((await listed(front))["items"][0]) == KEYS
    assert (await front.client.post("/api/v3/predictions")).status_code == 200


@pytest.mark.parametrize(
    "body", [{"page": 0}, {"page_size": 101}, {"created_after": "soon"}, {"model": 5}, []]
)
async def test_a_list_asked_for_wrongly_is_refused(front: Any, body: Any) -> None:
    answer = await front.client.post("/api/v3/predictions", json=body)

    assert (answer.status_code, answer.json()["error_code"]) == (400, 1401)


async def test_deleting_a_task_that_has_not_ended_cancels_it(front: Any) -> None:
    made = await submitted(front)
    url = f"/api/v3/predictions/{made['id']}"
    first, again = await front.client.delete(url), await front.client.delete(url)

    assert first.json()["data"] == again.json()["data"] == {"id": made["id"], "status": "deleted"}
    assert (await front.store.get(made["id"])).status == "canceled"


async def test_a_deleted_task_is_gone_from_the_list_and_from_the_disk(front: Any) -> None:
    made = await submitted(front)
    done = await front.finish_one()
    assert await front.blobs.list(done.id) != []

    await front.client.delete(f"/api/v3/predictions/{made['id']}")

    assert await front.blobs.list("") == []
    assert (await listed(front))["items"] == []
    shown = (await front.client.get(made["urls"]["get"])).json()["data"]
    assert (shown["outputs"], shown["error"]) == ([], "The task's outputs are no longer kept.")


async def test_a_bulk_deletion_counts_what_it_forgot(front: Any) -> None:
    mine, other = await front.key("me"), await front.key("other")
    ids = [(await submitted(front, headers=mine))["id"] for _ in range(2)]
    foreign = (await submitted(front, headers=other))["id"]
    body = {"ids": [*ids, ids[0], foreign, "unknown", "\0"]}
    answer = await front.client.post("/api/v3/predictions/delete", json=body, headers=mine)
    empty = await front.client.post("/api/v3/predictions/delete", json={}, headers=mine)

    assert answer.json()["data"] == {"deleted_count": 2}
    assert (await front.store.get(foreign)).status == "queued"
    assert (empty.status_code, empty.json()["error_code"]) == (400, 1400)


async def test_use_is_counted_by_model_and_by_day(front: Any) -> None:
    front.clock.advance(-front.clock.now() + 1_767_312_000)  # 2026-01-02, midnight
    await submitted(front)
    await submitted(front)
    front.clock.advance(86_400)
    await submitted(front, "wavespeed-ai/flux-kontext-max")
    front.clock.advance(86_400)
    await submitted(front)
    span = {"start_time": "2026-01-02T00:00:00Z", "end_time": "2026-01-04T00:00:00Z"}

    usage = (await front.client.post("/api/v3/user/usage_stats", json=span)).json()["data"]
    only = {**span, "model_uuid": "wavespeed-ai/flux-kontext-max"}
    narrowed = (await front.client.post("/api/v3/user/usage_stats", json=only)).json()["data"]

    assert usage == {
        "per_model_usage": [
            {"model_uuid": "wavespeed-ai/flux-kontext-max", "count": 1, "amount": 0},
            {"model_uuid": MODEL, "count": 2, "amount": 0},
        ],
        "daily_usage": [
            {"date": "2026-01-02", "count": 2, "amount": 0},
            {"date": "2026-01-03", "count": 1, "amount": 0},
        ],
        "summary": {"count": 3, "amount": 0},
    }
    assert narrowed["summary"]["count"] == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "parameter start_time is missing; parameter end_time is missing"),
        ({"start_time": "2026-01-01", "end_time": "2026-02-02"}, "at most 31 days"),
        ({"start_time": "2026-01-02", "end_time": "2026-01-01"}, "at most 31 days"),
        ({"start_time": "then", "end_time": "2026-01-01"}, "start_time is invalid"),
    ],
)
async def test_a_span_of_use_must_be_one(front: Any, body: dict[str, str], words: str) -> None:
    answer = await front.client.post("/api/v3/user/usage_stats", json=body)

    assert answer.status_code == 400
    assert words in answer.json()["message"]
