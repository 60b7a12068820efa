"""A create that bears an `Idempotency-Key`: it happens once, however often it is sent."""

import asyncio
import base64
from typing import Any

CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
PROMPT = {"input": {"prompt": "make it blue"}}
ONCE = {"idempotency-key": "order 4711"}


async def test_a_create_with_a_key_happens_once(front: Any) -> None:
    first = await front.client.post(CREATE, json=PROMPT, headers=ONCE)
    again = await front.client.post(CREATE, json=PROMPT, headers=ONCE)
    other = await front.client.post(CREATE, json=PROMPT, headers={"idempotency-key": "4712"})
    front.clock.advance(24 * 3600 + 1)
    tomorrow = await front.client.post(CREATE, json=PROMPT, headers=ONCE)

    assert first.status_code == again.status_code == 201
    assert first.json()["id"] == again.json()["id"]
    assert len({it.json()["id"] for it in (first, other, tomorrow)}) == 3


async def test_a_key_means_its_address_and_its_caller(front: Any) -> None:
    elsewhere = CREATE.replace("pro", "max")
    ada, eve = await front.key("ada"), await front.key("eve")

    made = [
        (await front.client.post(path, json=PROMPT, headers={**ONCE, **key})).json()["id"]
        for path, key in ((CREATE, ada), (elsewhere, ada), (CREATE, eve))
    ]

    assert len(set(made)) == 3


async def test_another_body_under_the_same_key_is_refused(front: Any) -> None:
    await front.client.post(CREATE, json=PROMPT, headers=ONCE)

    other = {"input": {"prompt": "make it red"}}
    refused = await front.client.post(CREATE, json=other, headers=ONCE)

    assert refused.status_code == 422
    assert "Idempotency-Key" in refused.json()["detail"]
    assert len(await front.store.page(None, limit=9)) == 1


async def test_the_same_create_sent_many_times_at_once_happens_once(front: Any) -> None:
    picture = f"data:image/png;base64,{base64.b64encode(bytes(range(256)) * 300).decode()}"
    body = {"input": {"prompt": "x", "input_image": picture}}

    answers = await asyncio.gather(
        *(front.client.post(CREATE, json=body, headers=ONCE) for _ in range(8))
    )

    (id,) = {answer.json()["id"] for answer in answers}
    assert [it.id for it in await front.store.page(None, limit=9)] == [id]
    assert list(await front.blobs.list("inputs/")) == [f"inputs/{id}/0"]  # one copy is kept
