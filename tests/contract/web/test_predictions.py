"""A prediction over HTTP: created, followed, fetched, cancelled, listed; by every base URL."""

import asyncio
import base64
from typing import Any

import pytest

CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
PROMPT = {"input": {"prompt": "make it blue"}}
SPELLINGS = ("/v1", "/v1/v1", "", "/replicate/v1", "/replicate", "/replicate/v1/v1")


@pytest.mark.parametrize("mount", SPELLINGS)
async def test_every_spelling_of_the_base_url_works_to_the_end(front: Any, mount: str) -> None:
    create = f"{mount}/models/black-forest-labs/flux-kontext-pro/predictions"
    created = (await front.client.post(create, json=PROMPT)).json()
    await front.finish_one()
    done = (await front.client.get(created["urls"]["get"])).json()
    picture = await front.client.get(done["output"])

    assert created["urls"]["get"] == f"http://127.0.0.1:8787{mount}/predictions/{created['id']}"
    assert done["status"] == "succeeded"
    assert picture.status_code == 200
    assert picture.headers["content-type"] == "image/png"
    for path in ("account", "hardware", "models", "predictions", "files", "collections"):
        assert (await front.client.get(f"{mount}/{path}")).status_code == 200


async def test_the_vendors_own_host_reaches_its_protocol(front: Any) -> None:
    async with front.caller(base_url="https://api.replicate.com") as client:
        created = (await client.post(CREATE, json=PROMPT)).json()
        await front.finish_one()
        done = (await client.get(created["urls"]["get"])).json()
        picture = await client.get(done["output"])

    assert created["urls"]["get"].startswith("https://api.replicate.com/v1/predictions/")
    assert picture.status_code == 200


async def test_a_slash_at_the_end_is_answered_not_redirected(front: Any) -> None:
    assert (await front.client.post(CREATE + "/", json=PROMPT)).status_code == 201
    assert (await front.client.get("/v1/predictions/")).status_code == 200


async def test_wait_answers_with_the_finished_prediction(front: Any) -> None:
    waiting = asyncio.create_task(
        front.client.post(CREATE, json=PROMPT, headers={"prefer": "wait=5"})
    )
    await front.store.changed(5)
    await front.finish_one()
    answer = await waiting

    assert answer.status_code == 201
    assert answer.json()["status"] == "succeeded"
    assert answer.headers["preference-applied"] == "wait=5"


async def test_an_expired_wait_says_starting(front: Any) -> None:
    answer = await front.client.post(CREATE, json=PROMPT, headers={"prefer": "wait=1"})

    assert answer.status_code == 202
    assert answer.json()["status"] == "starting"
    assert answer.headers["location"] == answer.json()["urls"]["get"]


async def test_cancel_ends_it_and_answers_the_whole_prediction(front: Any) -> None:
    created = (await front.client.post(CREATE, json=PROMPT)).json()

    headers = {"content-type": "application/json"}
    canceled = await front.client.post(created["urls"]["cancel"], headers=headers)
    again = await front.client.post(created["urls"]["cancel"])

    assert canceled.status_code == again.status_code == 200
    assert canceled.json()["status"] == again.json()["status"] == "canceled"
    assert canceled.json()["completed_at"]


async def test_pages_follow_each_other_to_the_end(front: Any) -> None:
    made = []
    for _ in range(103):
        made.append((await front.client.post(CREATE, json=PROMPT)).json()["id"])
        front.clock.advance(0.001)

    first = (await front.client.get("/v1/predictions")).json()
    second = (await front.client.get(first["next"])).json()

    found = [it["id"] for page in (first, second) for it in page["results"]]
    assert found == made[::-1]
    assert len(first["results"]) == 100
    assert second["next"] is None


async def test_a_repeated_create_is_answered_with_the_first(front: Any) -> None:
    first = (await front.client.post(CREATE, json=PROMPT)).json()["id"]
    retried = {"x-stainless-retry-count": "1"}

    again = (await front.client.post(CREATE, json=PROMPT, headers=retried)).json()["id"]
    other = {"input": {"prompt": "make it red"}}
    differing = (await front.client.post(CREATE, json=other, headers=retried)).json()["id"]
    front.clock.advance(301)
    late = (await front.client.post(CREATE, json=PROMPT, headers=retried)).json()["id"]

    assert again == first
    assert len({first, differing, late}) == 3


async def test_a_long_data_uri_is_echoed_as_a_link_to_its_bytes(front: Any) -> None:
    data = bytes(range(256)) * 300
    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    body = {"input": {"prompt": "x", "input_image": uri}}

    echoed = (await front.client.post(CREATE, json=body)).json()["input"]["input_image"]

    assert echoed.startswith("http://127.0.0.1:8787/files/inputs/")
    assert (await front.client.get(echoed)).content == data


async def test_an_earlier_result_is_an_input_without_the_network(front: Any) -> None:
    created = (await front.client.post(CREATE, json=PROMPT)).json()
    done = await front.finish_one()
    link = (await front.client.get(created["urls"]["get"])).json()["output"]

    body = {"input": {"prompt": "x", "input_image": link}}
    again = (await front.client.post(CREATE, json=body)).json()["id"]

    stored = await front.store.get(again)
    assert [image.key for image in stored.edit.images] == [done.outputs[0].key]


async def test_a_tampered_result_link_stays_a_url(front: Any) -> None:
    link = "http://127.0.0.1:8787/files/other/1/0.png?expires=9999999999&signature=x"

    body = {"input": {"prompt": "x", "input_image": link}}
    id = (await front.client.post(CREATE, json=body)).json()["id"]

    assert (await front.store.get(id)).edit.images[0].url == link


async def test_a_seed_is_drawn_and_kept(front: Any) -> None:
    id = (await front.client.post(CREATE, json=PROMPT)).json()["id"]

    assert 0 <= (await front.store.get(id)).edit.seed < 2**31


async def test_unknown_fields_never_reach_the_store(front: Any) -> None:
    body = {"input": {"prompt": "x", "auth": "r8_secret"}}

    id = (await front.client.post(CREATE, json=body)).json()["id"]

    assert "r8_secret" not in repr(await front.store.get(id))


async def test_a_file_with_a_byte_order_mark_is_json(front: Any) -> None:
    answer = await front.client.post(CREATE, content=b'\xef\xbb\xbf{"input": {"prompt": "x"}}')

    assert answer.status_code == 201


async def test_the_stream_ends_with_the_picture(front: Any) -> None:
    created = (await front.client.post(CREATE, json=PROMPT)).json()
    following = asyncio.create_task(front.client.get(created["urls"]["stream"]))
    await asyncio.sleep(0)
    await front.finish_one()
    answer = await following

    output = (await front.client.get(created["urls"]["get"])).json()["output"]
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert f"event: output\nid: 1750000001:0\ndata: {output}\n\n" in answer.text
    assert answer.text.endswith("event: done\nid: 1750000001:1\ndata: {}\n\n")


async def test_a_stream_goes_on_after_the_last_event_that_came(front: Any) -> None:
    stream = (await front.client.post(CREATE, json=PROMPT)).json()["urls"]["stream"]
    await front.finish_one()

    async def after(id: str) -> Any:
        return await front.client.get(stream, headers={"Last-Event-ID": id})

    rest, nothing, all_of_it = [await after(f"1750000001:{n}") for n in (0, 1, 7)]

    assert "event: done" in rest.text
    assert "event: output" not in rest.text
    assert (nothing.status_code, nothing.content) == (204, b"")  # a browser asks no more
    assert "event: output" in all_of_it.text


async def test_a_guessed_stream_is_not_found(front: Any) -> None:
    created = (await front.client.post(CREATE, json=PROMPT)).json()
    stream = created["urls"]["stream"]

    forged = stream[:-1] + ("a" if stream[-1] != "a" else "b")

    assert (await front.client.get(forged)).status_code == 404
    assert (await front.client.get(stream[:-3])).status_code == 404
