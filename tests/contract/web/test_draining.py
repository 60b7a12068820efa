"""A server that was told to stop: it takes nothing new, in each protocol's words."""

from typing import Any

import pytest

CREATES = {
    "replicate": (
        "/v1/models/black-forest-labs/flux-kontext-pro/predictions",
        {"input": {"prompt": "go"}},
    ),
    "fal": ("/queue/fal-ai/flux-pro/kontext", {"prompt": "go", "image_url": "https://h/cat.png"}),
    "wavespeed": (
        "/api/v3/wavespeed-ai/flux-kontext-pro",
        {"prompt": "go", "image": "https://h/cat.png"},
    ),
    "bfl": ("/v1/flux-kontext-pro", {"prompt": "go"}),
    "openai": ("/v1/images/generations", {"prompt": "go", "model": "flux-kontext-pro"}),
}
WORDS = {
    "replicate": lambda body: (body["status"], body["detail"]),
    "fal": lambda body: (503, body["detail"]),
    "wavespeed": lambda body: (body["code"], body["message"]),
    "bfl": lambda body: (503, body["detail"]),
    "openai": lambda body: (503, body["error"]["message"]),
}


@pytest.mark.parametrize("protocol", CREATES)
async def test_a_create_is_refused_with_a_time_to_come_back(front: Any, protocol: str) -> None:
    path, body = CREATES[protocol]
    front.services.doors.close()

    answer = await front.client.post(path, json=body)

    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) >= 1
    status, words = WORDS[protocol](answer.json())
    assert status == 503
    assert "stopping" in words or "try again" in words
    assert await front.store.depth() == {"queued": 0, "running": 0}


async def test_what_was_accepted_before_is_shown_and_can_be_cancelled(front: Any) -> None:
    path, body = CREATES["replicate"]
    made = (await front.client.post(path, json=body)).json()
    front.services.doors.close()

    shown = await front.client.get(f"/v1/predictions/{made['id']}")
    canceled = await front.client.post(f"/v1/predictions/{made['id']}/cancel")

    assert shown.json()["status"] == "starting"
    assert canceled.json()["status"] == "canceled"


async def test_an_upload_is_refused(front: Any) -> None:
    front.services.doors.close()

    answer = await front.client.post("/v1/files", files={"content": ("cat.png", b"bytes")})

    assert answer.status_code == 503


async def test_a_stranger_is_not_told_that_the_server_stops(front: Any) -> None:
    await front.key()
    front.services.doors.close()

    answer = await front.client.post(CREATES["replicate"][0], json=CREATES["replicate"][1])

    assert answer.status_code == 401


async def test_readiness_ends_and_liveness_does_not(front: Any) -> None:
    front.services.doors.close()

    ready, live = await front.client.get("/readyz"), await front.client.get("/livez")

    assert (ready.status_code, ready.json()["detail"]) == (503, "the server is stopping")
    assert live.status_code == 200
