"""OpenAI Images over HTTP: an answer held until the pictures are done, and what is shared."""

import asyncio
import base64
import json
from typing import Any

import httpx2
import pytest

from retouch.domain.failure import MASK_PLACE, Failure, FailureKind
from retouch.domain.prediction import Status

EDITS, GENERATIONS = "/v1/images/edits", "/v1/images/generations"
PNG = b"\x89PNG\r\n\x1a\n" + b"0123456789"
PICTURE = {"image": ("cat.png", PNG, "image/png")}
FIELDS = {"prompt": "make it blue", "model": "gpt-image-1"}


async def held(
    front: Any, path: str = EDITS, *, queued: int = 1, **sent: Any
) -> asyncio.Task[httpx2.Response]:
    """A request on its way, its prediction in the queue."""
    if not sent.keys() & {"json", "data", "content"}:
        sent |= {"data": FIELDS, "files": PICTURE}
    waiting = asyncio.create_task(front.client.post(path, **sent))
    while (await front.store.depth()).get("queued", 0) < queued:
        assert not waiting.done(), waiting.result().text
        await asyncio.sleep(0.01)
    return waiting


@pytest.mark.parametrize("mount", ["/v1", "/openai/v1", "/openai", "/proxy/openai"])
async def test_an_edit_is_answered_with_its_bytes(front: Any, mount: str) -> None:
    waiting = await held(front, f"{mount}/images/edits")
    done = await front.finish_one()
    answer = await waiting

    body = answer.json()
    assert answer.status_code == 200
    assert (done.protocol, done.model) == ("openai", "flux-kontext")
    assert base64.b64decode(body["data"][0]["b64_json"]) == await front.blobs.open(
        done.outputs[0].key
    )
    assert await front.blobs.open(done.edit.images[0].key) == PNG
    assert body["size"] == "8x8"
    assert body["usage"]["total_tokens"] > 0
    assert answer.headers["x-request-id"] == "request"


async def test_an_address_is_answered_when_it_is_asked_for(front: Any) -> None:
    body = {"prompt": "a red kite", "response_format": "url"}
    waiting = await held(front, GENERATIONS, json=body)
    await front.finish_one()

    url = (await waiting).json()["data"][0]["url"]

    assert url.startswith("http://127.0.0.1:8787/files/")
    assert (await front.client.get(url)).headers["content-type"] == "image/png"


async def test_the_vendors_own_host_reaches_it(front: Any) -> None:
    async with front.caller(base_url="https://api.openai.com") as client:
        listed = (await client.get("/v1/models")).json()
        lost = await client.get("/v1/predictions")

    assert list(listed) == ["object", "data"]
    assert lost.json()["error"]["code"] == "unknown_url"


async def test_several_pictures_in_every_spelling(front: Any) -> None:
    files = [("image[]", ("upload", PNG)), ("image[]", ("upload", PNG + b"2"))]
    waiting = await held(front, data=FIELDS, files=files)
    done = await front.finish_one()
    await waiting

    kept = [await front.blobs.open(image.key) for image in done.edit.images]
    assert kept == [PNG, PNG + b"2"]


async def test_a_data_uri_as_a_long_plain_field(front: Any) -> None:
    data = bytes(range(256)) * 8192  # more than a form's field may usually hold
    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    waiting = await held(front, files={**{k: (None, v) for k, v in FIELDS.items()},
                                       "url": (None, uri)}, data={})  # fmt: skip
    done = await front.finish_one()
    await waiting

    assert await front.blobs.open(done.edit.images[0].key) == data


async def test_an_upload_is_an_input_by_its_id(front: Any) -> None:
    sent = {"content": ("cat.png", PNG, "image/png")}
    file = (await front.client.post("/v1/files", files=sent)).json()
    body = {"prompt": "x", "images": [{"file_id": file["id"]}]}

    waiting = await held(front, json=body)
    done = await front.finish_one()
    await waiting
    gone = await front.client.post(EDITS, json={"prompt": "x", "images": [{"file_id": "none"}]})

    assert await front.blobs.open(done.edit.images[0].key) == PNG
    assert gone.status_code == 404


async def test_a_failure_is_told_and_not_to_be_repeated(front: Any) -> None:
    waiting = await held(front)
    await front.finish_one(
        failure=Failure(FailureKind.UNREADABLE, "The input image could not be decoded.")
    )
    answer = await waiting

    assert answer.status_code == 400
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["code"] == "invalid_image_file"


async def test_a_mask_is_kept_and_forgotten_as_the_pictures_are(front: Any) -> None:
    sent = {"content": ("hole.png", b"a hole", "image/png")}
    file = (await front.client.post("/v1/files", files=sent)).json()
    image = {"image_url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}
    mask = {"file_id": file["id"]}

    waiting = await held(front, json={"prompt": "x", "images": [image], "mask": mask})
    done = await front.finish_one()
    await waiting

    assert done.edit.mask is not None
    assert done.edit.mask.marks == "transparent"
    assert await front.blobs.open(done.edit.mask.image.key) == b"a hole"
    assert len(await front.blobs.list(f"inputs/{done.id}")) == 2
    front.clock.advance(86_400)
    await front.janitor.sweep()
    assert await front.blobs.list("inputs") == []
    assert (await front.store.get(done.id)).edit.mask is None


async def test_a_mask_over_the_limit_is_refused(new_front: Any) -> None:
    async with new_front(max_image_bytes=len(PNG)).serving() as front:
        files = {**PICTURE, "mask": ("m.png", PNG + b"1")}
        answer = await front.client.post(EDITS, data=FIELDS, files=files)

    assert answer.status_code == 413


async def test_a_fault_of_the_mask_is_told_by_its_name(front: Any) -> None:
    waiting = await held(front, data=FIELDS, files={**PICTURE, "mask": ("m.png", PNG)})
    words = "The mask is 8x4 pixels, but the first image is 8x8: they must have the same size."
    await front.finish_one(failure=Failure(FailureKind.UNREADABLE, words, MASK_PLACE))
    answer = await waiting

    error = {"message": words, "type": "image_generation_user_error", "param": "mask"}
    assert answer.status_code == 400
    assert answer.json()["error"] == {**error, "code": "invalid_image_file"}


async def test_a_client_that_hangs_up_loses_nothing(front: Any) -> None:
    waiting = await held(front)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    done = await front.finish_one()

    seen = (await front.client.get(f"/v1/predictions/{done.id}")).json()
    assert (done.status, seen["status"]) == (Status.SUCCEEDED, "succeeded")


async def test_a_repetition_joins_the_first_whatever_its_boundary(front: Any) -> None:
    first = await held(front)
    sent = {"files": PICTURE, "headers": {"x-stainless-retry-count": "1"}}
    again = await held(front, data=FIELDS, **sent)
    other = await held(front, queued=2, data={**FIELDS, "prompt": "make it red"}, **sent)
    for _ in range(2):
        await front.finish_one()

    async with asyncio.timeout(30):
        answers = [await it for it in (first, again, other)]
    assert [it.status_code for it in answers] == [200, 200, 200]
    assert len(await front.store.page(None, limit=9)) == 2


async def test_an_edit_that_takes_too_long_goes_on(front: Any) -> None:
    waiting = await held(front, data=FIELDS, files=PICTURE,
                         headers={"x-stainless-read-timeout": "0.2"})  # fmt: skip
    answer = await waiting
    done = await front.finish_one()

    assert answer.status_code == 504
    assert answer.headers["x-should-retry"] == "false"
    assert done.id in answer.json()["error"]["message"]


async def test_the_same_key_sees_it_through_replicate(front: Any) -> None:
    mine, other = await front.key("me"), await front.key("other")
    waiting = await held(front, data=FIELDS, files=PICTURE, headers=mine)
    done = await front.finish_one()
    await waiting

    seen = await front.client.get(f"/v1/predictions/{done.id}", headers=mine)
    foreign = await front.client.get(f"/v1/predictions/{done.id}", headers=other)

    assert seen.json()["model"] == "flux-kontext"
    assert seen.json()["input"]["image"][0].startswith("http://127.0.0.1:8787/files/inputs/")
    assert foreign.status_code == 404


async def test_models_are_listed_for_both_protocols_at_one_address(front: Any) -> None:
    both = (await front.client.get("/v1/models")).json()
    own = (await front.client.get("/openai/v1/models")).json()

    assert list(both) == ["next", "previous", "results", "object", "data"]
    assert both["results"][0]["owner"] == "black-forest-labs"
    assert both["data"] == own["data"]
    assert [it["id"] for it in own["data"]] == [
        "flux-kontext", "flux-kontext-pro", "flux-kontext-max", "flux-kontext-dev",
    ]  # fmt: skip
    assert {it["weights"] for it in own["data"]} == {"nano"}


async def test_files_are_listed_for_both_protocols_at_one_address(front: Any) -> None:
    sent = {"content": ("cat.png", PNG, "image/png")}
    file = (await front.client.post("/v1/files", files=sent)).json()

    both = (await front.client.get("/v1/files")).json()
    own = (await front.client.get("/openai/v1/files?limit=1")).json()

    assert both["results"] == [file]
    assert both["data"] == own["data"]
    assert (own["data"][0]["id"], own["has_more"]) == (file["id"], False)


@pytest.mark.parametrize("base", ["/v1", "/openai/v1"])
async def test_a_file_is_sent_named_read_and_deleted(front: Any, base: str) -> None:
    sent = {"file": ("cat.png", PNG, "image/png"), "purpose": (None, "vision")}
    file = (await front.client.post(f"{base}/files", files=sent)).json()
    images = [{"file_id": file["id"]}]
    waiting = await held(front, json={"prompt": "x", "images": images})
    await front.finish_one()

    assert (await waiting).status_code == 200
    assert (file["object"], file["filename"], file["bytes"]) == ("file", "cat.png", len(PNG))
    one = (await front.client.get(f"{base}/files/{file['id']}")).json()
    assert {**one, **file} == {**one, "created_at": file["created_at"],
                               "expires_at": file["expires_at"]}  # fmt: skip
    assert (await front.client.get(f"{base}/files/{file['id']}/content")).content == PNG
    assert (await front.client.delete(f"{base}/files/{file['id']}")).is_success
    assert (await front.client.get(f"{base}/files/{file['id']}/content")).status_code == 404


async def test_a_deleted_file_is_told_in_this_protocols_words(front: Any) -> None:
    sent = {"file": ("cat.png", PNG, "image/png"), "purpose": (None, "user_data")}
    id = (await front.client.post("/v1/files", files=sent)).json()["id"]

    answer = await front.client.delete(f"/openai/v1/files/{id}")

    assert answer.json() == {"id": id, "object": "file", "deleted": True}


@pytest.mark.parametrize("base", ["/v1", "/openai/v1"])
@pytest.mark.parametrize(
    ("sent", "field", "told"),
    [
        ({"file": ("cat.png", PNG)}, "purpose", "Missing required parameter: 'purpose'."),
        ({"purpose": (None, "vision")}, "file", "Missing required parameter: 'file'."),
        (
            {"file": ("cat.png", PNG), "purpose": (None, "fine-tune")},
            "purpose",
            "Invalid 'purpose': supported values are 'vision', 'user_data', but got 'fine-tune'.",
        ),
    ],
)
async def test_a_file_that_cannot_be_kept_is_refused_by_its_part(
    front: Any, base: str, sent: Any, field: str, told: str
) -> None:
    answer = await front.client.post(f"{base}/files", files=sent)

    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["message"]) == (400, field, told)


async def test_an_upload_without_a_part_of_this_protocol_is_the_other_ones(front: Any) -> None:
    refused = await front.client.post("/v1/files", files={"nothing": ("cat.png", PNG)})
    both = {"content": ("cat.png", PNG), "purpose": (None, "vision")}

    assert (refused.status_code, refused.json()["detail"]) == (422, "- content is required\n")
    assert (await front.client.post("/v1/files", files=both)).status_code == 201


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"model": "dall-e-3"}, "url"),
        ({"model": "dall-e-2"}, "url"),
        ({"model": "dall-e-3", "response_format": "b64_json"}, "b64_json"),
        ({"model": "gpt-image-1"}, "b64_json"),
        ({}, "b64_json"),
    ],
)
async def test_callers_of_the_older_models_are_sent_links_unless_they_say_otherwise(
    front: Any, fields: dict[str, str], kind: str
) -> None:
    waiting = await held(front, GENERATIONS, json={"prompt": "a red kite", **fields})
    await front.finish_one()

    assert list((await waiting).json()["data"][0]) == [kind]


@pytest.mark.parametrize("path", ["/v1/files", "/openai/v1/files"])
async def test_files_are_read_page_by_page(front: Any, path: str) -> None:
    for name in "abc":
        sent = {"content": (name, PNG, "image/png")}
        await front.client.post("/v1/files", files=sent)
        front.clock.advance(1)

    first = (await front.client.get(f"{path}?limit=2")).json()
    rest = (await front.client.get(f"{path}?limit=2&after={first['last_id']}")).json()

    assert [it["filename"] for it in first["data"] + rest["data"]] == ["c", "b", "a"]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert (await front.client.get(f"{path}?purpose=fine-tune")).json()["data"] == []


@pytest.mark.parametrize("path", ["/v1/files", "/openai/v1/files"])
@pytest.mark.parametrize(
    ("query", "status", "field", "told"),
    [
        ("limit=0", 400, "limit", "from 1 to 10000, but got 0"),
        ("limit=ten", 400, "limit", "an integer, but got 'ten'"),
        ("order=asc", 400, "order", "'desc', but got 'asc'"),
        ("after=none", 404, "file_id", "none"),
    ],
)
async def test_a_page_that_cannot_be_had_is_refused_by_whose_it_is(
    front: Any, path: str, query: str, status: int, field: str, told: str
) -> None:
    answer = await front.client.get(f"{path}?{query}")

    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, field)
    assert told in error["message"]


async def test_every_listed_model_is_found_and_makes_pictures(front: Any) -> None:
    for model in (await front.client.get("/openai/v1/models")).json()["data"]:
        assert (await front.client.get(f"/v1/models/{model['id']}")).json() == model
        waiting = await held(front, GENERATIONS, json={"prompt": "x", "model": model["id"]})
        assert (await front.finish_one()).model == model["id"]
        assert (await waiting).status_code == 200
    unknown = await front.client.get("/v1/models/gpt-4")
    assert unknown.json()["error"]["code"] == "model_not_found"


async def test_refusals_name_the_field(front: Any) -> None:
    async def refused(**sent: Any) -> tuple[int, str | None]:
        answer = await front.client.post(EDITS, **sent)
        return answer.status_code, answer.json()["error"]["param"]

    assert await refused(data=FIELDS, files={**PICTURE, "mask": ("m.png", b"")}) == (400, "mask")
    assert await refused(data=FIELDS) == (400, None)  # neither JSON nor a form in parts
    partial = {**FIELDS, "stream": "true", "partial_images": "4"}
    assert await refused(data=partial, files=PICTURE) == (400, "partial_images")
    assert await refused(json={"prompt": "x" * 32_001, "image": "data:,a"}) == (400, "prompt")
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert await refused(content=b"--x\r\nbroken", headers=broken) == (400, None)
    assert not any((await front.store.depth()).values())


async def test_what_is_not_served_says_so(front: Any) -> None:
    variations = await front.client.post("/v1/images/variations", files=PICTURE)
    wrong = await front.client.get(EDITS)

    assert (variations.status_code, variations.json()["error"]["code"]) == (404, "unknown_url")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "OPTIONS, POST")


async def test_a_form_that_was_cut_short_is_not_taken_for_json(front: Any) -> None:
    cut = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nmake it'
    form = {"content-type": "multipart/form-data; boundary=x"}

    answer = await front.client.post("/v1/images/edits", content=cut, headers=form)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_multipart")


# -- streams -------------------------------------------------------------------------------------


def events_of(answer: httpx2.Response) -> list[dict[str, Any]]:
    """What a stream said; the name of each event is in its data too, where the clients look."""
    found = []
    for block in answer.text.strip().split("\n\n"):
        name, data = (line.partition(": ")[2] for line in block.split("\n"))
        found.append(json.loads(data))
        assert found[-1]["type"] == name
    return found


@pytest.mark.parametrize(
    ("path", "kind"), [(EDITS, "image_edit"), (GENERATIONS, "image_generation")]
)
async def test_a_stream_shows_previews_then_the_picture(front: Any, path: str, kind: str) -> None:
    asked = {"prompt": "x", "stream": True, "partial_images": 2, "quality": "high"}
    if path == EDITS:
        asked["images"] = [{"image_url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}]
    waiting = await held(front, path, json=asked)
    running = await front.start_one()
    await front.preview(running, b"first", b"second")
    await front.finish(running)

    answer = await waiting
    first, second, completed = events_of(answer)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert running.edit.previews == 2
    assert [first["type"], second["type"]] == [f"{kind}.partial_image"] * 2
    assert [first["partial_image_index"], second["partial_image_index"]] == [0, 1]
    assert [base64.b64decode(it["b64_json"]) for it in (first, second)] == [b"first", b"second"]
    assert completed["type"] == f"{kind}.completed"
    assert base64.b64decode(completed["b64_json"]).startswith(b"\x89PNG")
    assert completed["usage"]["total_tokens"] >= completed["usage"]["output_tokens"]
    for it in (first, second, completed):
        assert (it["quality"], it["background"], it["output_format"]) == ("high", "opaque", "png")
        assert isinstance(it["created_at"], int)


async def test_each_preview_is_told_once_though_an_attempt_begins_anew(front: Any) -> None:
    asked = {"prompt": "x", "stream": True, "partial_images": 2, "response_format": "url"}
    waiting = await held(front, GENERATIONS, json=asked)
    running = await front.start_one()
    await front.preview(running, b"first")
    await asyncio.sleep(0)  # whether or not it was seen by now
    await front.store.release("worker")
    again = await front.start_one()
    await front.preview(again, b"first", b"second")
    await front.finish(again)

    events = events_of(await waiting)

    assert [base64.b64decode(it["b64_json"]) for it in events[:-1]] == [b"first", b"second"]
    assert events[-1]["type"] == "image_generation.completed"


async def test_a_stream_without_previews_is_the_picture_alone(front: Any) -> None:
    waiting = await held(front, GENERATIONS, json={"prompt": "x", "stream": True})
    await front.finish_one()

    (event,) = events_of(await waiting)

    assert event["type"] == "image_generation.completed"


async def test_a_failure_ends_a_stream_with_an_error(front: Any) -> None:
    waiting = await held(front, GENERATIONS, json={"prompt": "x", "stream": True})
    await front.finish_one(
        failure=Failure(FailureKind.BLOCKED_RESULT, "The result was refused by a safety check.")
    )

    answer = await waiting
    (event,) = events_of(answer)

    assert answer.status_code == 200
    assert event["type"] == "error"
    assert event["error"]["code"] == "moderation_blocked"


async def test_a_server_that_stops_tells_its_streams_where_the_edit_goes_on(front: Any) -> None:
    waiting = await held(front, GENERATIONS, json={"prompt": "x", "stream": True})
    (waits,) = await front.store.page(None, limit=1)
    front.services.predictions.release()

    (event,) = events_of(await waiting)

    assert waits.id in event["error"]["message"]
