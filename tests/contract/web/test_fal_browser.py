"""What browsers need of fal's surfaces: streams, the proxy's header, and answers pages may read."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from retouch.domain.prediction import Progress
from retouch.web import sse

EDIT = "/fal-ai/flux-pro/kontext"
BODY = {"prompt": "make it blue", "image_url": "https://pictures.example/cat.png"}
PROXY = "/api/fal/proxy"
Told = Callable[[], Awaitable[None]]


def data_of(text: str) -> list[Any]:
    lines = [line for line in text.splitlines() if line]
    assert all(line.startswith(("data: ", ":")) for line in lines), text
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


@pytest.fixture
def told(front: Any, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Returns once a stream has told what is so now: when it has looked again and waits."""
    predictions, looks = front.services.predictions, asyncio.Queue[None]()
    wait = predictions.wait

    async def counted(id: str, timeout_s: float) -> bool:
        looks.put_nowait(None)
        return bool(await wait(id, timeout_s))

    async def looked() -> None:
        while not looks.empty():
            looks.get_nowait()
        for _ in range(2):  # the look under way may have missed it
            await asyncio.wait_for(looks.get(), 30)

    monkeypatch.setattr(sse, "LOOK_S", 0.01)
    monkeypatch.setattr(predictions, "wait", counted)
    return looked


async def test_the_stream_of_states_tells_each_change_and_ends(front: Any, told: Told) -> None:
    said = (await front.client.post(EDIT, json=BODY)).json()
    url = f"{said['status_url']}/stream"
    following = asyncio.create_task(front.client.get(url, params={"logs": 1}))
    await told()
    await front.start_one()
    await told()
    await front.services.predictions.cancel((await front.store.page(None, limit=1))[0].id, "local")
    answer = await following

    states = data_of(answer.text)
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert answer.headers["x-fal-request-id"] == said["request_id"]
    assert [it["status"] for it in states] == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
    assert states[-1]["error_type"] == "client_cancelled"
    assert all(it["logs"] == [] for it in states)


async def test_a_stream_adds_only_new_lines_to_the_log(front: Any, told: Told) -> None:
    said = (await front.client.post(EDIT, json=BODY)).json()
    running = await front.start_one()
    held = {running.id: (1, Progress(1, 4))}
    await front.store.beat("worker", held, lease_s=10)
    url = f"{said['status_url']}/stream"
    following = asyncio.create_task(front.client.get(url, params={"logs": "true"}))
    await told()
    await front.store.beat("worker", {running.id: (1, Progress(3, 4))}, lease_s=10)
    await told()
    await front.services.predictions.cancel(running.id, "local")

    states = data_of((await following).text)

    lines = [[line["message"] for line in it["logs"]] for it in states]
    assert lines == [["step 1/4"], ["step 2/4", "step 3/4"], []]


async def test_a_run_streams_its_result(front: Any) -> None:
    streaming = asyncio.create_task(front.client.post(f"/run{EDIT}/stream", json=BODY))
    await front.store.changed(5)
    await front.finish_one()
    answer = await streaming

    (result,) = data_of(answer.text)
    assert result["images"][0]["content_type"] == "image/jpeg"
    refused = await front.client.post(f"/run{EDIT}/stream", json={})
    assert refused.status_code == 422


async def test_anothers_stream_is_not_found(front: Any) -> None:
    mine, other = await front.key("me"), await front.key("other")
    said = (await front.client.post(EDIT, json=BODY, headers=mine)).json()

    answer = await front.client.get(f"{said['status_url']}/stream", headers=other)

    assert answer.status_code == 404


@pytest.mark.parametrize("path", [PROXY, "/", "/anything"])
async def test_a_call_may_name_its_address_in_a_header(front: Any, path: str) -> None:
    async def called(method: str, target: str, **more: Any) -> Any:
        headers = {"x-fal-target-url": target}
        return await front.client.request(method, path, headers=headers, **more)

    said = (await called("POST", f"https://queue.fal.run{EDIT}", json=BODY)).json()
    request = f"https://queue.fal.run/fal-ai/flux-pro/requests/{said['request_id']}"
    status = await called("GET", f"{request}/status?logs=1")
    place = await called(
        "POST", "https://rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3", json={}
    )
    canceled = await called("PUT", f"{request}/cancel")

    assert said["status_url"].startswith("http://127.0.0.1:8787/queue/fal-ai/flux-pro/requests/")
    assert (status.status_code, status.json()["logs"]) == (202, [])
    assert place.json()["upload_url"].startswith("http://127.0.0.1:8787/rest/storage/upload/")
    assert canceled.status_code == 202


@pytest.mark.parametrize(
    "target",
    ["", "https://elsewhere.example/x", "https://fal.run.example/x", "http://[", "fal.run"],
)
async def test_a_call_to_the_proxy_that_names_nothing_of_ours_is_refused(
    front: Any, target: str
) -> None:
    answer = await front.client.post(PROXY, headers={"x-fal-target-url": target}, json=BODY)

    assert (answer.status_code, answer.json()["detail"]) == (400, "Invalid request")


async def test_the_proxy_asks_for_a_key_like_everybody(front: Any) -> None:
    await front.key()
    headers = {"x-fal-target-url": f"https://queue.fal.run{EDIT}"}

    for sent in (headers, {}):
        assert (await front.client.post(PROXY, headers=sent, json=BODY)).status_code == 401


async def test_a_page_of_this_machine_may_send_and_read(front: Any) -> None:
    page = {"origin": "http://localhost:3000"}
    asking = {
        **page,
        "access-control-request-method": "PUT",
        "access-control-request-headers": "authorization,x-fal-target-url",
    }

    asked = await front.client.options("/rest/storage/upload/x", headers=asking)
    read = await front.client.post(EDIT, json=BODY, headers=page)

    assert asked.status_code == 204
    assert "PUT" in asked.headers["access-control-allow-methods"]
    assert asked.headers["access-control-allow-headers"] == "authorization,x-fal-target-url"
    assert read.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert read.headers["access-control-expose-headers"] == "*"


async def test_another_page_may_only_once_it_has_to_bring_a_key(front: Any) -> None:
    page = {"origin": "https://app.example"}
    open_door = await front.client.post(EDIT, json=BODY, headers=page)
    mine = await front.key()
    closed_door = await front.client.post(EDIT, json=BODY, headers={**page, **mine})
    no_key = await front.client.post(EDIT, json=BODY, headers=page)

    assert "access-control-allow-origin" not in open_door.headers
    assert closed_door.headers["access-control-allow-origin"] == "https://app.example"
    assert no_key.status_code == 401
