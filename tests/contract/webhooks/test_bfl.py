"""A webhook asked for as BFL's callers do, delivered, and checked by the vendor's guide."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from retouch.domain.failure import Failure, FailureKind

SUBMIT = "/v1/flux-kontext-pro"
SECRET = "a secret of the caller's"  # noqa: S105  made up


async def submit(front: Any, receiver: Any, **more: Any) -> dict[str, Any]:
    body = {"prompt": "make it blue", "webhook_url": receiver.url(), **more}
    answer = await front.client.post(SUBMIT, json=body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def is_genuine(secret: str, signature: str, body: bytes) -> bool:
    """As a receiver does it."""
    kind, _, given = signature.partition("=")
    mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return kind == "sha256" and hmac.compare_digest(given, mac)


async def test_the_callers_secret_verifies_what_was_sent(
    front: Any, receiver: Any, sent: Any
) -> None:
    made = await submit(front, receiver, webhook_secret=SECRET)
    await front.finish_one()
    await sent()

    (arrival,) = receiver.arrivals
    signature = arrival.headers["x-bfl-signature"]
    assert is_genuine(SECRET, signature, arrival.body)
    assert not is_genuine(SECRET, signature, arrival.body + b" ")

    said, shown = json.loads(arrival.body), (await front.client.get(made["polling_url"])).json()
    assert (made["status"], made["webhook_url"]) == ("Pending", receiver.url())
    assert [said[name] for name in ("id", "status")] == [made["id"], "Ready"]
    assert said["result"] == shown["result"]
    assert (await front.client.get(said["result"]["sample"])).status_code == 200


async def test_without_a_secret_there_is_no_signature(front: Any, receiver: Any, sent: Any) -> None:
    await submit(front, receiver)
    await front.finish_one()
    await sent()

    assert "x-bfl-signature" not in receiver.arrivals[0].headers


async def test_a_failure_is_told_in_words(front: Any, receiver: Any, sent: Any) -> None:
    await submit(front, receiver)
    await front.finish_one(
        failure=Failure(FailureKind.UNREADABLE, "The input image could not be decoded")
    )
    await sent()

    said = json.loads(receiver.arrivals[0].body)
    assert (said["status"], said["result"]) == ("Error", None)
    assert said["message"] == "The input image could not be decoded"


async def test_a_retry_is_the_same_to_the_byte(front: Any, receiver: Any, sent: Any) -> None:
    receiver.statuses = ["500 Oops", "200 OK"]
    await submit(front, receiver, webhook_secret=SECRET)
    await front.finish_one()
    await sent()
    front.clock.advance(5)
    await sent()

    first, second = receiver.arrivals
    assert first.body == second.body
    assert first.headers["x-bfl-signature"] == second.headers["x-bfl-signature"]


@pytest.mark.parametrize("path", ["/v1/predictions/{}", "/api/v3/predictions/{}"])
async def test_the_secret_is_shown_through_no_protocol(
    front: Any, receiver: Any, path: str
) -> None:
    made = await submit(front, receiver, webhook_secret=SECRET)

    shown = await front.client.get(path.format(made["id"]))
    listed = await front.client.post("/api/v3/predictions", json={"include_inputs": True})

    assert shown.status_code == 200
    assert SECRET not in shown.text + listed.text + str(made)
