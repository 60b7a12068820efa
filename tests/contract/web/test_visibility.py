"""One prediction, five languages: made through any protocol, it is there for the others."""

from collections.abc import Callable
from typing import Any

import pytest

from retouch.domain.failure import Failure, FailureKind
from retouch.domain.ids import as_uuid

CAT = "https://pictures.example/cat.png"
PROMPT = {"prompt": "make it blue"}

CREATES: dict[str, tuple[str, dict[str, Any]]] = {
    "replicate": ("/v1/models/black-forest-labs/flux-kontext-pro/predictions", {"input": PROMPT}),
    "fal": ("/queue/fal-ai/flux-pro/kontext", {**PROMPT, "image_url": CAT}),
    "wavespeed": ("/api/v3/wavespeed-ai/flux-kontext-pro", {**PROMPT, "image": CAT}),
    "bfl": ("/v1/flux-kontext-pro", PROMPT),
}

READS: dict[str, Callable[[str], str]] = {
    "replicate": lambda id: f"/v1/predictions/{id}",
    "fal": lambda id: f"/queue/fal-ai/flux-pro/requests/{as_uuid(id)}/status",
    "wavespeed": lambda id: f"/api/v3/predictions/{id}/result",
    "bfl": lambda id: f"/v1/get_result?id={id}",
    "openai": lambda id: f"/v1/images/{id}?response_format=url",
}

WORDS: dict[str, tuple[str, str, str]] = {
    "replicate": ("starting", "processing", "succeeded"),
    "fal": ("IN_QUEUE", "IN_PROGRESS", "COMPLETED"),
    "wavespeed": ("created", "processing", "completed"),
    "bfl": ("Pending", "Pending", "Ready"),
    "openai": ("queued", "in_progress", ""),  # what is done is a list of pictures, without a word
}


async def made(front: Any, protocol: str, **more: Any) -> str:
    """A prediction's id; OpenAI's answer would be held until its end, so it is only queued."""
    if protocol == "openai":
        return await made_and_left(front, **more)
    path, body = CREATES[protocol]
    answer = await front.client.post(path, json=body, **more)
    assert answer.is_success, answer.text
    return (await front.store.page(None, limit=1))[0].id


async def made_and_left(front: Any, **more: Any) -> str:
    """A create of a caller who stops listening at once."""
    headers = {**more.get("headers", {}), "x-stainless-read-timeout": "0.1"}
    await front.client.post("/v1/images/generations", json=PROMPT, headers=headers)
    return (await front.store.page(None, limit=1))[0].id


async def read(front: Any, id: str, **more: Any) -> dict[str, Any]:
    """What each protocol says of it."""
    said = {}
    for protocol, path in READS.items():
        answer = await front.client.get(path(id), **more)
        assert answer.is_success, f"{protocol}: {answer.text}"
        said[protocol] = answer.json()
    return said


def word(protocol: str, said: dict[str, Any]) -> str:
    return str((said.get("data") if protocol == "wavespeed" else said).get("status", ""))


@pytest.mark.parametrize("through", [*CREATES, "openai"])
async def test_each_protocol_follows_what_any_other_made(front: Any, through: str) -> None:
    id = await made(front, through)
    told = [await read(front, id)]
    await front.start_one()
    told.append(await read(front, id))
    await front.store.release("worker")
    await front.finish_one()
    told.append(await read(front, id))

    words = {name: tuple(word(name, it[name]) for it in told) for name in READS}
    assert words == {**WORDS, "openai": ("queued", "in_progress", "")}
    done = told[-1]
    links = [
        done["replicate"]["output"],
        done["wavespeed"]["data"]["outputs"][0],
        done["bfl"]["result"]["sample"],
        done["openai"]["data"][0]["url"],
    ]
    assert len(set(links)) == 1
    assert (await front.client.get(links[0])).status_code == 200
    result = (await front.client.get(done["fal"]["response_url"])).json()
    assert result["images"][0]["url"] == links[0]


@pytest.mark.parametrize("through", [*CREATES, "openai"])
async def test_each_protocol_tells_why_any_others_failed(front: Any, through: str) -> None:
    why = "The input image could not be decoded"
    id = await made(front, through)
    await front.finish_one(failure=Failure(FailureKind.UNREADABLE, why))

    for protocol, path in READS.items():
        answer = await front.client.get(path(id))
        assert why in answer.text, protocol


async def test_the_lists_show_whatever_the_caller_made(front: Any) -> None:
    ids = []
    for protocol in (*CREATES, "openai"):
        front.clock.advance(1)
        ids.append(await made(front, protocol))
    newest_first = ids[::-1]

    first = (await front.client.get("/v1/predictions")).json()["results"]
    page = {"page_size": 3, "include_inputs": True}
    pages = [
        (await front.client.post("/api/v3/predictions", json={**page, "page": n})).json()["data"]
        for n in (1, 2)
    ]

    assert [it["id"] for it in first] == newest_first
    assert [it["id"] for it in pages[0]["items"] + pages[1]["items"]] == newest_first
    assert pages[1]["total"] == len(ids)
    assert {it["input"]["prompt"] for it in pages[0]["items"]} == {"make it blue"}
    models = {it["model"] for it in first}
    assert {"fal-ai/flux-pro/kontext", "flux-kontext-pro"} < models


async def test_nobody_elses_is_shown(front: Any) -> None:
    mine, other = await front.key("me"), await front.key("other")
    for through in (*CREATES, "openai"):
        id = await made(front, through, headers=mine)
        for protocol, path in READS.items():
            answer = await front.client.get(path(id), headers=other)
            assert answer.status_code == 404, protocol

    listed = await front.client.get("/v1/predictions", headers=other)
    tasks = await front.client.post("/api/v3/predictions", headers=other)
    assert listed.json()["results"] == tasks.json()["data"]["items"] == []


async def test_what_was_deleted_is_gone_in_every_language(front: Any) -> None:
    id = await made(front, "fal")
    await front.finish_one()
    deleted = await front.client.delete(f"/api/v3/predictions/{id}")

    said = {name: await front.client.get(path(id)) for name, path in READS.items()}
    result = await front.client.get(f"/queue/fal-ai/flux-pro/requests/{as_uuid(id)}")
    replicate = said["replicate"].json()

    assert deleted.json()["data"] == {"id": id, "status": "deleted"}
    assert (replicate["data_removed"], replicate["input"], replicate["output"]) == (True, {}, None)
    assert result.status_code == 404
    assert said["wavespeed"].json()["data"]["outputs"] == []
    assert (said["bfl"].status_code, said["bfl"].json()["status"]) == (404, "Task not found")
    assert said["openai"].status_code == 404


async def test_a_failure_that_was_deleted_is_gone_where_only_its_reason_could_be_said(front: Any):
    id = await made(front, "fal")
    await front.finish_one(failure=Failure(FailureKind.ENGINE, "The model failed."))
    await front.client.delete(f"/api/v3/predictions/{id}")

    said = {name: await front.client.get(path(id)) for name, path in READS.items()}
    result = await front.client.get(f"/queue/fal-ai/flux-pro/requests/{as_uuid(id)}")

    assert "The model failed." not in "".join(it.text for it in said.values())
    assert said["replicate"].json()["status"] == "failed"
    assert said["wavespeed"].json()["data"]["error"] == "The task failed."
    assert result.status_code == 404
    assert (said["bfl"].status_code, said["bfl"].json()["status"]) == (404, "Task not found")
    assert said["openai"].status_code == 404


async def test_several_pictures_are_shown_wherever_a_protocol_can(front: Any) -> None:
    body = {**PROMPT, "image_url": CAT, "num_images": 2}
    await front.client.post("/queue/fal-ai/flux-pro/kontext", json=body)
    done = await front.finish_one(pictures=2)

    said = await read(front, done.id)

    links = said["replicate"]["output"]
    assert len(set(links)) == 2
    assert links == said["wavespeed"]["data"]["outputs"]
    assert links == [it["url"] for it in said["openai"]["data"]]
