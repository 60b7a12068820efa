"""BFL over HTTP: submitted, polled and fetched, by every base URL and by the vendor's own name."""

import base64
from typing import Any

import pytest

from retouch.domain.errors import Busy
from retouch.domain.failure import Failure, FailureKind

CREATE = "/v1/flux-kontext-pro"
PROMPT = {"prompt": "make it blue"}
MOUNTS = ("/v1", "/bfl/v1", "/bfl")


async def submitted(front: Any, **more: Any) -> dict[str, Any]:
    answer = await front.client.post(CREATE, json=PROMPT | more.pop("body", {}), **more)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("model", ["flux-kontext-pro", "flux-kontext-max", "flux-kontext-dev"])
async def test_every_model_and_base_url_works_to_the_end(
    front: Any, mount: str, model: str
) -> None:
    made = (await front.client.post(f"{mount}/{model}", json=PROMPT)).json()
    pending = (await front.client.get(made["polling_url"])).json()
    done = await front.finish_one()
    ready = (await front.client.get(made["polling_url"])).json()
    picture = await front.client.get(ready["result"]["sample"])

    assert made["polling_url"].startswith(f"http://127.0.0.1:8787{mount}/get_result?id=")
    assert (pending["status"], ready["status"]) == ("Pending", "Ready")
    assert (done.protocol, done.model) == ("bfl", model)
    assert ready["result"]["duration"] == 1.0
    assert picture.headers["content-type"] == "image/png"


async def test_the_vendors_own_hosts_reach_it(front: Any) -> None:
    for host in ("api.bfl.ai", "api.eu.bfl.ai", "api.us1.bfl.ai"):
        async with front.caller(base_url=f"https://{host}") as client:
            made = (await client.post(CREATE, json=PROMPT)).json()
            lost = await client.get("/v1/predictions")

        assert made["polling_url"].startswith(f"https://{host}/v1/get_result?id=")
        assert (lost.status_code, lost.json()["detail"]) == (404, "Not Found")


async def test_the_address_of_the_comfyui_nodes(front: Any) -> None:
    made = (await front.client.post("/proxy/bfl/flux-kontext-pro/generate", json=PROMPT)).json()

    assert (await front.client.get(made["polling_url"])).json()["status"] == "Pending"


async def test_a_picture_inside_the_body_becomes_a_blob(front: Any) -> None:
    data = bytes(range(256)) * 10
    made = await submitted(front, body={"input_image": base64.b64encode(data).decode()})

    stored = await front.store.get(made["id"])

    assert await front.blobs.open(stored.edit.images[0].key) == data
    assert "base64" not in repr(stored.input)


async def test_a_result_is_an_input_of_the_next(front: Any) -> None:
    made = await submitted(front)
    done = await front.finish_one()
    ready = (await front.client.get(made["polling_url"])).json()

    again = await submitted(front, body={"input_image": ready["result"]["sample"]})

    stored = await front.store.get(again["id"])
    assert [image.key for image in stored.edit.images] == [done.outputs[0].key]


async def test_the_same_key_sees_it_through_replicate(front: Any) -> None:
    mine, other = await front.key("me"), await front.key("other")
    made = await submitted(front, headers={"x-key": mine["authorization"].split()[1]})
    await front.finish_one()

    seen = await front.client.get(f"/v1/predictions/{made['id']}", headers=mine)
    foreign = await front.client.get(f"/v1/predictions/{made['id']}", headers=other)

    assert seen.json()["status"] == "succeeded"
    assert seen.json()["model"] == "flux-kontext-pro"
    assert foreign.status_code == 404


async def test_an_id_alone_opens_nothing_but_the_polling_url_does(front: Any) -> None:
    mine, other = await front.key("me"), await front.key("other")
    made = await submitted(front, headers=mine)
    bare = f"/v1/get_result?id={made['id']}"
    forged = made["polling_url"][:-1] + ("a" if made["polling_url"][-1] != "a" else "b")

    async def polled(url: str, headers: dict[str, str]) -> tuple[int, str | None]:
        answer = await front.client.get(url, headers=headers)
        return answer.status_code, answer.json().get("status")

    assert await polled(bare, mine) == (200, "Pending")
    assert await polled(bare, other) == (404, "Task not found")
    assert await polled(bare, {}) == (403, None)
    assert await polled(forged, {}) == (403, None)
    assert await polled(forged, other) == (404, "Task not found")
    for headers in ({}, mine, other):
        assert await polled(made["polling_url"], headers) == (200, "Pending")


async def test_a_ticket_opens_its_own_prediction_only(front: Any) -> None:
    mine = await front.key("me")
    first, second = await submitted(front, headers=mine), await submitted(front, headers=mine)
    ticket = first["polling_url"].partition("ticket=")[2]

    answer = await front.client.get(f"/v1/get_result?id={second['id']}&ticket={ticket}")

    assert answer.status_code == 403


async def test_an_id_said_twice_and_none_at_all(front: Any) -> None:
    made = await submitted(front)

    twice = await front.client.get(f"{made['polling_url']}&id={made['id']}")
    none = await front.client.get("/v1/get_result")
    null = await front.client.get("/v1/get_result?id=a%00")

    assert twice.json()["status"] == "Pending"
    assert none.json()["detail"][0]["loc"] == ["query", "id"]
    assert null.json()["status"] == "Task not found"


async def test_a_poll_the_database_cannot_answer_says_pending(
    front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await submitted(front)

    async def away(*_: Any, **__: Any) -> None:
        raise Busy("the database is away")

    monkeypatch.setattr(front.store, "get", away)
    answer = await front.client.get(made["polling_url"])

    assert (answer.status_code, answer.json()["status"]) == (200, "Pending")


async def test_a_failure_is_told(front: Any) -> None:
    made = await submitted(front)
    await front.finish_one(failure=Failure(FailureKind.UNREADABLE, "The image cannot be read."))

    answer = (await front.client.get(made["polling_url"])).json()

    assert (answer["status"], answer["result"]) == ("Error", None)
    assert answer["details"] == {"error": "The image cannot be read."}


async def test_credits_are_told_honestly(front: Any) -> None:
    made = await submitted(front)
    answer = (await front.client.get("/v1/credits")).json()

    assert made["cost"] == answer["credits"] == 0.0


async def test_a_wrong_method_is_refused_in_its_shape(front: Any) -> None:
    answer = await front.client.get(CREATE)

    assert answer.status_code == 405
    assert answer.json() == {"detail": "Method Not Allowed", "message": "Method Not Allowed"}


async def test_a_report_of_use_is_understood_and_forgotten(front: Any) -> None:
    path = "/v1/licenses/models/flux-1-kontext-dev/usage"

    taken = await front.client.post(path, json={"number_of_generations": 3})
    refused = await front.client.post(path, json={"number_of_generations": 0})

    assert taken.status_code == 200
    assert taken.json()["number_of_generations"] == 3
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "number_of_generations"]
