"""fal's queue over HTTP: submitted, followed, fetched, cancelled; by every way to name a host."""

import asyncio
import base64
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from retouch.domain.failure import Failure, FailureKind
from retouch.protocols.fal.fields import MODELS

EDIT = "/fal-ai/flux-pro/kontext"
URL = "https://pictures.example/cat.png"
BODY = {"prompt": "make it blue", "image_url": URL}


async def submitted(front: Any, path: str = f"/queue{EDIT}", **more: Any) -> dict[str, Any]:
    answer = await front.client.post(path, json=more.pop("json", BODY), **more)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_the_recorded_call_is_answered_in_its_recorded_shape(front: Any) -> None:
    body = {
        "prompt": "Seat the kitten on the windowsill.",
        "guidance_scale": 3.5,
        "num_images": 1,
        "output_format": "jpeg",
        "safety_tolerance": "2",
        "image_urls": [URL, URL],
    }
    headers = {"Authorization": "Bearer token"}

    path = "/fal-ai/flux-pro/kontext/max/multi"
    answer = await front.client.post(path, json=body, headers=headers)

    said = answer.json()
    id = said["request_id"]
    url = f"http://127.0.0.1:8787/fal-ai/flux-pro/requests/{id}"
    assert answer.status_code == 200
    assert list(said.items()) == [
        ("status", "IN_QUEUE"),
        ("request_id", str(UUID(id))),
        ("response_url", url),
        ("status_url", f"{url}/status"),
        ("cancel_url", f"{url}/cancel"),
        ("logs", None),
        ("metrics", {}),
        ("queue_position", 0),
    ]
    assert UUID(id).version == 4
    assert answer.headers["x-fal-request-id"] == id


@pytest.mark.parametrize(
    ("base", "prefix"),
    [
        ("http://127.0.0.1:8787", ""),
        ("http://127.0.0.1:8787", "/queue"),
        ("https://queue.fal.run", ""),
        ("https://queue.falrun.com", ""),
    ],
)
async def test_a_request_lives_through_its_states(front: Any, base: str, prefix: str) -> None:
    async with front.caller(base_url=base) as client:
        first = (await client.post(prefix + EDIT, json=BODY)).json()
        second = (await client.post(prefix + EDIT, json=BODY)).json()
        waiting = await client.get(second["status_url"], params={"logs": 1})
        early = await client.get(first["response_url"])
        await front.start_one()
        running = await client.get(first["status_url"], params={"logs": "false"})
        next_up = await client.get(second["status_url"])
        await front.finish_one()
        done = await client.get(second["status_url"])
        result = await client.get(second["response_url"])
        picture = await client.get(result.json()["images"][0]["url"])

    assert first["status_url"].startswith(f"{base}{prefix}/fal-ai/flux-pro/requests/")
    assert (waiting.status_code, waiting.json()["queue_position"]) == (202, 1)
    assert waiting.json()["logs"] == []
    assert (early.status_code, early.json()["detail"]) == (400, "Request is still in progress")
    assert (running.status_code, running.json()["status"]) == (202, "IN_PROGRESS")
    assert running.json()["logs"] is None
    assert next_up.json()["queue_position"] == 0
    assert (done.status_code, done.json()["status"]) == (200, "COMPLETED")
    assert done.json()["metrics"] == {"inference_time": 1.0}
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    answers = (waiting, early, running, done, result)
    ids = [second, first, first, second, second]
    assert [it.headers["x-fal-request-id"] for it in answers] == [it["request_id"] for it in ids]


@pytest.mark.parametrize("path", ["/fal-ai/flux-pro", EDIT, f"{EDIT}/max/multi", "/fal-ai/other"])
async def test_a_request_is_found_by_its_id_under_any_name(front: Any, path: str) -> None:
    id = (await submitted(front))["request_id"]

    for ending in ("", "/"):
        answer = await front.client.get(f"{path}/requests/{id}/status{ending}")
        assert (answer.status_code, answer.json()["request_id"]) == (202, id)


async def test_every_model_takes_its_required_fields(front: Any) -> None:
    pictures = dict.fromkeys(("image_url", "reference_image_url", "mask_url"), URL)
    values = {"prompt": "x", **pictures, "image_urls": [URL]}
    for model in MODELS:
        said = await submitted(
            front, f"/{model.name}", json={it: values[it] for it in model.schema["required"]}
        )
        alias = "/".join(model.name.split("/")[:2])
        assert said["response_url"].endswith(f"/{alias}/requests/{said['request_id']}")


async def test_a_run_waits_to_the_end_and_answers_the_result(front: Any) -> None:
    running = asyncio.create_task(front.client.post(f"/run{EDIT}", json=BODY))
    await front.store.changed(5)
    await front.finish_one()
    answer = await running

    assert answer.status_code == 200
    assert list(answer.json()) == ["images", "timings", "seed", "has_nsfw_concepts", "prompt"]
    assert answer.headers["x-fal-billable-units"] == "1"
    assert UUID(answer.headers["x-fal-request-id"])


async def test_the_host_of_runs_runs(front: Any) -> None:
    async with front.caller(base_url="https://fal.run") as client:
        running = asyncio.create_task(client.post(EDIT, json=BODY))
        await front.store.changed(5)
        await front.finish_one(failure=Failure(FailureKind.ENGINE, "The model could not finish."))
        answer = await running

    assert answer.status_code == 500
    assert answer.json()["message"] == "The model could not finish."


async def test_sync_mode_holds_the_picture_itself(front: Any) -> None:
    said = await submitted(front, json={**BODY, "sync_mode": True})
    done = await front.finish_one()
    status = (await front.client.get(said["status_url"])).text
    image = (await front.client.get(said["response_url"])).json()["images"][0]

    head, _, data = image["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(data) == await front.blobs.open(done.outputs[0].key)
    assert "base64" not in status


async def test_low_priority_waits_for_everything_else(front: Any) -> None:
    low = await submitted(front, headers={"x-fal-queue-priority": "low"})
    await submitted(front, headers={"x-fal-queue-priority": "high"})

    status = (await front.client.get(low["status_url"])).json()

    assert status["queue_position"] == 1
    assert [(await front.start_one()).priority for _ in range(2)] == [0, -1]


@pytest.mark.parametrize("name", ["X-Fal-Request-Start-Timeout", "X-Fal-Request-Timeout"])
async def test_a_request_that_nobody_starts_in_time_has_timed_out(front: Any, name: str) -> None:
    late = await submitted(front, headers={name: "30.0"})
    front.clock.advance(29)
    assert await front.store.expire() == []
    front.clock.advance(1)
    await front.store.expire()

    status = await front.client.get(late["status_url"])
    result = await front.client.get(late["response_url"])

    assert (status.status_code, status.json()["status"]) == (200, "COMPLETED")
    assert status.json()["error_type"] == result.json()["error_type"] == "request_timeout"
    assert result.status_code == 504
    assert result.headers["x-fal-request-timeout-type"] == "user"
    assert result.headers["x-fal-error-type"] == "request_timeout"


async def test_a_start_timeout_never_limits_what_runs(front: Any) -> None:
    made = await submitted(front, headers={"X-Fal-Request-Timeout": "30"})
    await front.start_one()
    front.clock.advance(60)

    assert await front.store.expire() == []
    assert (await front.client.get(made["status_url"])).json()["status"] == "IN_PROGRESS"


async def test_a_burst_passes_no_length_of_the_queue_that_its_caller_allows(front: Any) -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="  # is stored before the row is
    creates = (
        front.client.post(
            f"/queue{EDIT}?fal_max_queue_length=2", json={"prompt": str(n), "image_url": picture}
        )
        for n in range(8)
    )

    answers = await asyncio.gather(*creates)

    assert Counter(it.status_code for it in answers) == {200: 3, 429: 5}
    assert len(await front.blobs.list("inputs")) == 3


async def test_a_queue_longer_than_the_caller_allows_is_too_long(front: Any) -> None:
    await submitted(front)
    await submitted(front)

    allowed = await front.client.post(f"/queue{EDIT}?fal_max_queue_length=2", json=BODY)
    refused = await front.client.post(f"/queue{EDIT}?fal_max_queue_length=2", json=BODY)

    assert (allowed.status_code, refused.status_code) == (200, 429)
    assert "more than the 2 allowed" in refused.json()["message"]
    assert refused.headers["retry-after"] == "1"
    assert (await front.store.depth())["queued"] == 3


async def test_cancelling_before_during_and_after(front: Any) -> None:
    queued, over = await submitted(front), await submitted(front)
    first = await front.client.put(queued["cancel_url"])
    again = await front.client.put(queued["cancel_url"])
    await front.finish_one()
    late = await front.client.put(over["cancel_url"])
    unknown = await front.client.put(f"/queue/fal-ai/flux-pro/requests/{UUID(int=7)}/cancel")
    status = await front.client.get(queued["status_url"])
    result = await front.client.get(queued["response_url"])

    said = [(it.status_code, it.json()["status"]) for it in (first, again, late, unknown)]
    assert said == [
        (202, "CANCELLATION_REQUESTED"),
        (400, "ALREADY_COMPLETED"),
        (400, "ALREADY_COMPLETED"),
        (404, "NOT_FOUND"),
    ]
    assert status.json()["error_type"] == "client_cancelled"
    assert (result.status_code, result.json()["error_type"]) == (499, "client_cancelled")
    assert result.headers["x-fal-error-type"] == "client_cancelled"


async def test_a_failure_is_completed_and_its_result_an_error(front: Any) -> None:
    said = await submitted(front)
    await front.finish_one(
        failure=Failure(
            FailureKind.UNFETCHED, f"The image URL {URL} could not be fetched: it is gone."
        )
    )
    status = await front.client.get(said["status_url"])
    result = await front.client.get(said["response_url"])

    assert (status.status_code, status.json()["status"]) == (200, "COMPLETED")
    assert status.json()["error_type"] == "file_download_error"
    assert result.status_code == 422
    assert result.json()["detail"][0]["loc"] == ["body", "image_url"]


async def test_every_answer_names_a_request(front: Any) -> None:
    answers = [
        await front.client.post(f"/queue{EDIT}", json={}),
        await front.client.post("/queue/fal-ai/nothing", json=BODY),
        await front.client.delete(f"/queue{EDIT}"),
        await front.client.get("/queue/nowhere"),
        await front.client.get(f"/fal-ai/flux-pro/requests/{UUID(int=7)}"),
        await front.client.get("/queue/errors"),
    ]

    assert [it.status_code for it in answers] == [422, 404, 405, 404, 404, 200]
    assert all(it.headers["x-fal-request-id"] for it in answers)
    assert answers[1].json()["detail"] == "Path /queue/fal-ai/nothing not found"


async def test_what_is_anothers_is_not_found(front: Any) -> None:
    mine, other = await front.key("me"), await front.key("other")
    key = {"authorization": mine["authorization"].replace("Bearer", "Key")}
    said = await submitted(front, headers=key)

    gets = [
        await front.client.get(said[it], headers=other) for it in ("status_url", "response_url")
    ]
    cancel = await front.client.put(said["cancel_url"], headers=other)
    nobody = await front.client.get(said["status_url"])

    assert [it.status_code for it in gets] == [404, 404]
    assert (cancel.status_code, cancel.json()) == (404, {"status": "NOT_FOUND"})
    assert nobody.status_code == 401
    assert (await front.client.get(said["status_url"], headers=key)).status_code == 202


async def test_a_request_is_a_prediction_in_anothers_words_and_the_other_way_round(
    front: Any,
) -> None:
    mine = await front.key("me")
    create = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
    theirs = await front.client.post(create, json={"input": {"prompt": "x"}}, headers=mine)
    ours = await submitted(front, headers=mine)
    listed = (await front.client.get("/v1/predictions", headers=mine)).json()["results"]
    stored = await front.store.page(None, limit=9)
    ids = {it.protocol: it.id for it in stored}

    here = await front.client.get(f"/fal-ai/flux-pro/requests/{theirs.json()['id']}", headers=mine)
    there = await front.client.get(f"/v1/predictions/{ids['fal']}", headers=mine)
    await front.finish_one()
    done = await front.client.get(f"/fal-ai/flux-pro/requests/{ids['replicate']}", headers=mine)

    assert here.status_code == 400
    assert there.json()["status"] == "starting"
    assert there.json()["input"] == BODY
    assert {it["id"] for it in listed} == {*ids.values()}
    assert done.json()["images"][0]["content_type"] == "image/png"
    assert ours["request_id"] != ids["fal"]


async def test_an_upload_of_another_protocol_is_a_picture(front: Any) -> None:
    files = {"content": ("cat.png", b"\x89PNG\r\n\x1a\n0123", "image/png")}
    link = (await front.client.post("/v1/files", files=files)).json()["urls"]["get"]

    await submitted(front, json={"prompt": "x", "image_url": link})
    gone = await front.client.post(f"{EDIT}", json={"prompt": "x", "image_url": link[:-1] + "0"})

    (image,) = (await front.start_one()).edit.images
    assert await front.blobs.open(image.key) == b"\x89PNG\r\n\x1a\n0123"
    assert gone.status_code == 422
    assert gone.json()["detail"][0]["type"] == "file_download_error"


async def test_a_deleted_request_leaves_no_picture_and_its_id(front: Any) -> None:
    made = (await front.client.post(f"{EDIT}/text-to-image", json={"prompt": "x"})).json()
    done = await front.finish_one()
    url = f"/v1/models/requests/{made['request_id']}/payloads"

    first, again = await front.client.delete(url), await front.client.delete(url)

    (gone,) = first.json()["cdn_delete_results"]
    assert done.id in gone["link"]
    assert gone["exception"] is None
    assert again.json() == {"cdn_delete_results": []}
    assert await front.blobs.list("") == []
    assert (await front.client.get(made["response_url"])).status_code == 404
    assert (await front.client.get(made["status_url"])).json()["status"] == "COMPLETED"


@pytest.mark.parametrize("id", ["%F0%9F%90%88", "x%0D%0Aset-cookie:%20a=b", "x" * 200])
@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("GET", "/status"), ("PUT", "/cancel")])
async def test_no_part_of_an_address_gets_into_a_header_unless_it_can_be_an_id(
    front: Any, method: str, tail: str, id: str
) -> None:
    answer = await front.client.request(method, f"/queue/fal-ai/flux-pro/requests/{id}{tail}")

    assert answer.status_code == 404
    assert answer.headers["x-fal-request-id"] == "request"
    assert "set-cookie" not in answer.headers


async def test_inpainting_is_not_found_where_the_weights_cannot(new_front: Any) -> None:
    address = "/queue/fal-ai/flux-kontext-lora/inpaint"
    url = "https://pictures.example/cat.png"
    body = {"prompt": "x", "image_url": url, "reference_image_url": url, "mask_url": url}
    status = []
    for inpaints in (True, False):
        async with new_front(inpaints=inpaints).serving() as front:
            answer = await front.client.post(address, json=body)
            status.append((answer.status_code, sum((await front.store.depth()).values())))

    assert status == [(200, 1), (404, 0)]
    assert answer.json()["detail"] == f"Path {address} not found"
