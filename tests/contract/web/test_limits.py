"""What a caller may not have more of, and how each protocol says so."""

import asyncio
from typing import Any

import pytest

from retouch.domain.errors import Busy
from retouch.domain.grant import Grant, Limits, Rate

PROMPT = {"prompt": "make it blue"}
CREATES = {
    "replicate": (
        "/v1/models/black-forest-labs/flux-kontext-pro/predictions",
        {"input": PROMPT},
    ),
    "fal": ("/queue/fal-ai/flux-pro/kontext/text-to-image", PROMPT),
    "wavespeed": ("/api/v3/wavespeed-ai/flux-kontext-pro/text-to-image", PROMPT),
    "bfl": ("/v1/flux-kontext-pro", PROMPT),
    "openai": ("/v1/images/generations", {**PROMPT, "model": "gpt-image-1"}),
}
FIRST = CREATES["replicate"][0]
BUSY = {"replicate": 503, "fal": 429, "wavespeed": 503, "bfl": 503, "openai": 503}
by_protocol = pytest.mark.parametrize("protocol", CREATES)


async def create(front: Any, protocol: str, **more: Any) -> Any:
    path, body = CREATES[protocol]
    return await front.client.post(path, json=body, **more)


@by_protocol
async def test_a_key_at_its_limit_gets_429_and_when_to_come_back(front: Any, protocol: str) -> None:
    headers = await front.key("ada", Grant(max_in_flight=1))
    await front.client.post(FIRST, headers=headers, json=CREATES["replicate"][1])

    refused = await create(front, protocol, headers=headers)

    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert "in progress are limited to 1" in refused.text


@by_protocol
async def test_a_rate_is_the_keys_own(front: Any, protocol: str) -> None:
    slow = await front.key("ada", Grant(rate=Rate(1, 60.0)))
    other = await front.key("eve")
    await front.client.post(FIRST, headers=slow, json=CREATES["replicate"][1])

    refused = await create(front, protocol, headers=slow)
    await front.client.post(FIRST, headers=other, json=CREATES["replicate"][1])
    front.clock.advance(60)
    later = await front.client.post(FIRST, headers=slow, json=CREATES["replicate"][1])

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert later.status_code == 201


@by_protocol
async def test_a_full_queue_is_busy(new_front: Any, protocol: str) -> None:
    async with new_front(limits=Limits(max_queued=0)).serving() as front:
        refused = await create(front, protocol)

    assert refused.status_code == BUSY[protocol]
    assert int(refused.headers["retry-after"]) == 10


@by_protocol
async def test_a_nearly_full_disk_is_busy_for_creates_and_nothing_else(
    new_front: Any, protocol: str
) -> None:
    async with new_front(require_room=_no_room).serving() as front:
        refused = await create(front, protocol)
        listed = await front.client.get("/v1/predictions")
        upload = await front.client.post("/v1/files", files={"content": ("a.png", b"abc")})

    assert refused.status_code == BUSY[protocol]
    assert refused.headers["retry-after"] == "60"
    assert listed.status_code == 200
    assert upload.status_code == 503


def _no_room() -> None:
    raise Busy("its disk is nearly full", 60.0)


async def test_a_burst_admits_as_many_as_the_key_may_have(front: Any) -> None:
    headers = await front.key("ada", Grant(max_in_flight=10))

    answers = await asyncio.gather(
        *(create(front, "replicate", headers=headers) for _ in range(64))
    )

    codes = [answer.status_code for answer in answers]
    assert (codes.count(201), codes.count(429)) == (10, 54)


async def test_a_refused_create_leaves_no_picture(front: Any) -> None:
    headers = await front.key("ada", Grant(max_in_flight=1))
    await create(front, "replicate", headers=headers)
    picture = "data:image/png;base64,iVBORw0KGgo="
    body = {"input": {**PROMPT, "input_image": picture}}

    refused = await front.client.post(FIRST, json=body, headers=headers)

    assert refused.status_code == 429
    assert await front.blobs.list("") == []


PICTURES = {
    "replicate": (FIRST, "input_image", 413),
    "fal": ("/queue/fal-ai/flux-pro/kontext", "image_url", 422),
    "wavespeed": ("/api/v3/wavespeed-ai/flux-kontext-pro", "image", 413),
    "bfl": ("/v1/flux-kontext-pro", "input_image", 413),
}
"""Where each protocol takes a picture inside the body, and how it refuses one that is too large."""


def with_picture(protocol: str, picture: str) -> tuple[str, dict[str, Any]]:
    path, field, _ = PICTURES[protocol]
    fields = {**PROMPT, field: picture}
    return path, {"input": fields} if protocol == "replicate" else fields


@pytest.mark.parametrize("protocol", PICTURES)
async def test_a_picture_no_worker_would_decode_is_refused_before_it_is_stored(
    new_front: Any, protocol: str
) -> None:
    async with new_front(max_image_bytes=8).serving() as front:
        path, fits = with_picture(protocol, "data:image/png;base64,iVBORw0KGgo=")
        _, does_not = with_picture(protocol, "data:image/png;base64,iVBORw0KGgoA")
        accepted = await front.client.post(path, json=fits)
        stored = await front.blobs.list("")

        refused = await front.client.post(path, json=does_not)

        assert accepted.is_success
        assert refused.status_code == PICTURES[protocol][2]
        assert "nput image is larger than 8 bytes" in refused.text
        assert await front.blobs.list("") == stored


async def test_a_form_and_an_uploaded_file_are_held_to_the_same_limit(new_front: Any) -> None:
    async with new_front(max_image_bytes=8).serving() as front:
        form = await front.client.post(
            "/v1/images/edits",
            data={"prompt": "make it blue", "model": "gpt-image-1"},
            files={"image": ("a.png", b"\x89PNG\r\n\x1a\n+", "image/png")},
        )
        upload = await front.client.post("/v1/files", files={"content": ("a.png", b"123456789")})
        file = upload.json()["urls"]["get"]
        body = {"input": {**PROMPT, "input_image": file}}
        by_file = await front.client.post(FIRST, json=body)

        for refused in (form, by_file):
            assert refused.status_code == 413
            assert "nput image is larger than 8 bytes" in refused.text


async def test_a_repetition_at_the_limit_is_answered_with_the_first(front: Any) -> None:
    headers = await front.key("ada", Grant(max_in_flight=1)) | {"idempotency-key": "4711"}

    answers = await asyncio.gather(*(create(front, "replicate", headers=headers) for _ in range(8)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_model_that_is_not_on_the_keys_list(front: Any) -> None:
    headers = await front.key("ada", Grant(models=("*/flux-kontext-max",)))

    refused = await create(front, "replicate", headers=headers)
    path = FIRST.replace("pro", "max")
    allowed = await front.client.post(path, json={"input": PROMPT}, headers=headers)

    assert (refused.status_code, allowed.status_code) == (403, 201)
    assert "black-forest-labs/flux-kontext-pro" in refused.json()["detail"]
