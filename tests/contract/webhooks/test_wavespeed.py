"""A webhook asked for as WaveSpeed's clients do, delivered, and checked by its recipe."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest

from retouch.domain.failure import Failure, FailureKind

SUBMIT = "/api/v3/wavespeed-ai/flux-kontext-pro"
BODY = {"prompt": "make it blue", "image": "https://pictures.example/cat.png"}
SECRET = "/api/v3/webhook/secret"  # noqa: S105  an address


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """As a receiver does it: the key is the secret's text after its prefix."""
    stamp = headers["webhook-timestamp"]
    assert abs(now - int(stamp)) <= 300
    assert secret.startswith("whsec_")
    signed = b".".join((headers["webhook-id"].encode(), stamp.encode(), body))
    mac = hmac.new(secret[len("whsec_") :].encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(headers["webhook-signature"], f"v3,{mac}")


async def submit(front: Any, query: str, **more: Any) -> dict[str, Any]:
    answer = await front.client.post(f"{SUBMIT}?{query}", json=BODY, **more)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()["data"]
    return made


async def test_the_documented_recipe_verifies_what_was_sent(
    front: Any, receiver: Any, sent: Any
) -> None:
    made = await submit(front, f"webhook={receiver.url()}")
    await front.finish_one()
    await sent()

    (arrival,) = receiver.arrivals
    secret = (await front.client.get(SECRET)).json()["data"]["secret"]
    now = front.clock.now()
    assert is_genuine(secret, arrival.headers, arrival.body, now)
    assert not is_genuine(secret, arrival.headers, arrival.body + b" ", now)

    shown = (await front.client.get(made["urls"]["get"])).json()["data"]
    assert json.loads(arrival.body) == {**shown, "input": BODY}
    assert shown["status"] == "completed"


@pytest.mark.parametrize(
    ("kind", "code"),
    [(FailureKind.ENGINE, 1405), (FailureKind.UNREADABLE, 1402), (None, 1405)],
)
async def test_a_failure_and_a_cancel_are_told(
    front: Any, receiver: Any, sent: Any, kind: FailureKind | None, code: int
) -> None:
    made = await submit(front, f"webhook={receiver.url()}")
    if kind:
        await front.finish_one(failure=Failure(kind, "It failed"))
    else:
        await front.client.post(f"/v1/predictions/{made['id']}/cancel")
    await sent()

    said = json.loads(receiver.arrivals[0].body)
    assert (said["status"], said["code"]) == ("failed", code)
    assert said["error"] == ("It failed" if kind else "The task was canceled.")


async def test_a_task_that_is_deleted_tells_nothing_any_more(
    front: Any, receiver: Any, sent: Any
) -> None:
    made = await submit(front, f"webhook={receiver.url()}")

    await front.client.delete(f"/api/v3/predictions/{made['id']}")
    await sent()

    assert receiver.arrivals == []
    assert await front.store.list_deliveries(limit=9) == []


async def test_an_address_is_called_whole_though_it_was_not_encoded(
    front: Any, receiver: Any, sent: Any
) -> None:
    await submit(front, f"webhook={receiver.url('/hook?task=7&user=8')}")
    await front.finish_one()
    await sent()

    assert receiver.arrivals[0].line == "POST /hook?task=7&user=8 HTTP/1.1"


async def test_each_key_has_a_secret_that_nobody_else_sees(front: Any) -> None:
    ada, eve = await front.key("ada"), await front.key("eve")

    answers = [await front.client.get(SECRET, headers=key) for key in (ada, eve)]

    hers, his = (answer.json()["data"]["secret"] for answer in answers)
    assert hers != his
    assert answers[0].headers["cache-control"] == "no-store"
    assert (await front.client.get(SECRET)).status_code == 401


async def test_a_retry_is_signed_anew_under_the_same_id(
    front: Any, receiver: Any, sent: Any
) -> None:
    receiver.statuses = ["500 Oops", "200 OK"]
    await submit(front, f"webhook={receiver.url()}")
    await front.finish_one()
    await sent()
    front.clock.advance(5)
    await sent()

    first, second = (arrival.headers for arrival in receiver.arrivals)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) == int(first["webhook-timestamp"]) + 5
    assert first["webhook-signature"] != second["webhook-signature"]
