"""A webhook asked for as fal's clients do, delivered, and checked by its published recipe."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from retouch.domain.failure import Failure, FailureKind

PRO = "fal-ai/flux-pro/kontext"
BODY = {"prompt": "make it blue", "image_url": "https://pictures.example/cat.png"}
MAX_AGE_S = 300


async def submit(front: Any, receiver: Any, path: str = f"/queue/{PRO}") -> dict[str, Any]:
    answer = await front.client.post(path, json=BODY, params={"fal_webhook": receiver.url()})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def verify(headers: Mapping[str, str], body: bytes, keys: Mapping[str, Any], now: float) -> None:
    """As a receiver does it; raises InvalidSignature."""
    names = ("request-id", "user-id", "timestamp", "signature")
    id, user, stamp, signature = (headers[f"x-fal-webhook-{name}"] for name in names)
    assert abs(now - int(stamp)) <= MAX_AGE_S
    message = "\n".join((id, user, stamp, hashlib.sha256(body).hexdigest())).encode()
    for key in keys["keys"]:
        assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")
        raw = base64.urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4))
        Ed25519PublicKey.from_public_bytes(raw).verify(bytes.fromhex(signature), message)


async def test_the_published_recipe_verifies_what_was_sent(
    front: Any, receiver: Any, sent: Any
) -> None:
    made = await submit(front, receiver)
    await front.finish_one()
    await sent()

    (arrival,) = receiver.arrivals
    keys = (await front.client.get("/rest/.well-known/jwks.json")).json()
    verify(arrival.headers, arrival.body, keys, front.clock.now())
    with pytest.raises(InvalidSignature):
        verify(arrival.headers, arrival.body.replace(b"blue", b"red"), keys, front.clock.now())

    said, result = json.loads(arrival.body), (await front.client.get(made["response_url"])).json()
    assert said == {
        "request_id": made["request_id"],
        "gateway_request_id": made["gateway_request_id"],
        "status": "OK",
        "payload": result,
    }
    assert arrival.headers["x-fal-webhook-request-id"] == made["request_id"]
    assert (await front.client.get(result["images"][0]["url"])).status_code == 200


async def test_a_failure_is_told_as_its_result_tells_it(
    front: Any, receiver: Any, sent: Any
) -> None:
    made = await submit(front, receiver)
    await front.finish_one(
        failure=Failure(FailureKind.UNREADABLE, "The input image could not be decoded")
    )
    await sent()

    said = json.loads(receiver.arrivals[0].body)
    result = await front.client.get(made["response_url"])
    assert (said["status"], said["payload"]) == ("ERROR", result.json())
    assert said["error"].startswith(f"Invalid status code: {result.status_code}: image_url: ")


async def test_a_cancel_is_told(front: Any, receiver: Any, sent: Any) -> None:
    made = await submit(front, receiver)
    await front.client.put(made["cancel_url"])
    await sent()

    said = json.loads(receiver.arrivals[0].body)
    assert (said["status"], said["payload"]["error_type"]) == ("ERROR", "client_cancelled")


async def test_a_retry_has_the_same_body_and_id_and_is_signed_anew(
    front: Any, receiver: Any, sent: Any
) -> None:
    receiver.statuses = ["500 Oops", "200 OK"]
    await submit(front, receiver)
    await front.finish_one()
    await sent()
    front.clock.advance(5)
    await sent()

    first, second = receiver.arrivals
    name = "x-fal-webhook-{}"
    assert first.body == second.body
    assert first.headers[name.format("request-id")] == second.headers[name.format("request-id")]
    keys = (await front.client.get("/.well-known/jwks.json")).json()
    for arrival in receiver.arrivals:
        verify(arrival.headers, arrival.body, keys, front.clock.now())
    assert first.headers[name.format("signature")] != second.headers[name.format("signature")]


@pytest.mark.parametrize(
    "base_url", ["http://edit.example", "https://rest.fal.ai", "https://rest.alpha.fal.ai"]
)
async def test_anybody_may_read_the_public_key_wherever_it_is_looked_for(
    front: Any, base_url: str
) -> None:
    await front.key()
    async with front.caller("203.0.113.9", base_url) as stranger:
        answer = await stranger.get("/.well-known/jwks.json")

    (key,) = answer.json()["keys"]
    raw = base64.urlsafe_b64decode(key["x"] + "=")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert answer.headers["x-fal-request-id"]
    assert [raw] == front.services.signer.public_keys


async def test_a_run_and_a_browser_behind_the_proxy_may_ask_too(
    front: Any, receiver: Any, sent: Any
) -> None:
    target = f"https://queue.fal.run/{PRO}?fal_webhook={receiver.url()}"
    await front.client.post("/api/fal/proxy", json=BODY, headers={"x-fal-target-url": target})
    await front.finish_one()
    await sent()

    (arrival,) = receiver.arrivals
    assert json.loads(arrival.body)["status"] == "OK"
