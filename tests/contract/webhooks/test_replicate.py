"""A webhook asked for over HTTP, delivered, and checked by the official client's own validator."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from replicate.webhook import InvalidSignatureError, Webhooks, WebhookSigningSecret

from retouch.domain.failure import Failure, FailureKind
from retouch.protocols.replicate.webhooks import signature

CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"


async def create(front: Any, receiver: Any, **more: Any) -> dict[str, Any]:
    body = {"input": {"prompt": "make it blue"}, "webhook": receiver.url(), **more}
    answer = await front.client.post(CREATE, json=body)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def test_the_official_validator_takes_what_was_sent(
    front: Any, receiver: Any, sent: Any
) -> None:
    created = await create(front, receiver)
    await front.finish_one()
    await sent()

    secret = WebhookSigningSecret(**(await front.client.get("/v1/webhooks/default/secret")).json())
    (arrival,) = receiver.arrivals
    Webhooks.validate(headers=dict(arrival.headers), body=arrival.body.decode(), secret=secret)
    changed = arrival.body.decode().replace("blue", "red")
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(headers=dict(arrival.headers), body=changed, secret=secret)

    shown = (await front.client.get(created["urls"]["get"])).json()
    assert json.loads(arrival.body) == shown
    assert shown["status"] == "succeeded"
    assert (await front.client.get(shown["output"])).status_code == 200


async def test_the_rule_of_standard_webhooks_holds(front: Any, receiver: Any, sent: Any) -> None:
    await create(front, receiver)
    await front.finish_one(failure=Failure(FailureKind.INTERNAL, "no"))
    await sent()

    key = (await front.client.get("/v1/webhooks/default/secret")).json()["key"]
    (arrival,) = receiver.arrivals
    id, stamp = arrival.headers["webhook-id"], arrival.headers["webhook-timestamp"]
    content = b".".join((id.encode(), stamp.encode(), arrival.body))
    raw = base64.b64decode(key.removeprefix("whsec_"), validate=True)
    mac = hmac.new(raw, content, hashlib.sha256).digest()
    assert 24 <= len(raw) <= 64
    assert arrival.headers["webhook-signature"].split() == [f"v1,{base64.b64encode(mac).decode()}"]
    assert "." not in id
    assert int(stamp) == int(front.clock.now())
    assert json.loads(arrival.body)["error"] == "no"


def test_the_published_example_is_signed_as_published() -> None:
    secret, id = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"

    signed = signature(secret, id, "1614265330", b'{"test": 2432232314}')

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_each_owner_has_a_secret_and_needs_a_key_to_see_it(front: Any) -> None:
    ada, eve = await front.key("ada"), await front.key("eve")
    path = "/v1/webhooks/default/secret"

    hers, his = [(await front.client.get(path, headers=key)).json()["key"] for key in (ada, eve)]

    assert hers != his
    assert (await front.client.get(path)).status_code == 401
    assert (await front.client.get(path, headers=ada)).headers["cache-control"] == "no-store"


async def test_a_retry_is_signed_anew_under_the_same_id(
    front: Any, receiver: Any, sent: Any
) -> None:
    receiver.statuses = ["500 Oops", "200 OK"]
    await create(front, receiver)
    await front.finish_one()
    await sent()
    front.clock.advance(5)
    await sent()

    first, second = (arrival.headers for arrival in receiver.arrivals)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) == int(first["webhook-timestamp"]) + 5
    assert first["webhook-signature"] != second["webhook-signature"]


async def test_a_start_is_told_in_the_protocols_word(front: Any, receiver: Any, sent: Any) -> None:
    await create(front, receiver, webhook_events_filter=["start", "completed"])
    await front.start_one()
    await sent()
    (running,) = [json.loads(arrival.body) for arrival in receiver.arrivals]
    await front.client.post(running["urls"]["cancel"])
    await sent()

    told = [json.loads(arrival.body)["status"] for arrival in receiver.arrivals]
    assert told == ["processing", "canceled"]


async def test_urls_are_under_the_mount_and_host_of_the_create(
    front: Any, receiver: Any, sent: Any
) -> None:
    body = {"input": {"prompt": "x"}, "webhook": receiver.url()}
    await front.client.post(
        "/replicate/v1/models/black-forest-labs/flux-kontext-pro/predictions",
        json=body,
        headers={"host": "localhost:9000"},
    )
    await front.finish_one()
    await sent()

    told = json.loads(receiver.arrivals[0].body)
    assert told["urls"]["get"].startswith("http://localhost:9000/replicate/v1/predictions/")
    assert told["output"].startswith("http://localhost:9000/files/")


# -- a time to end ------------------------------------------------------------------------------


async def test_a_prediction_is_canceled_after_the_time_it_was_given(front: Any) -> None:
    headers = {"cancel-after": "1m30s"}
    created = (
        await front.client.post(CREATE, json={"input": {"prompt": "x"}}, headers=headers)
    ).json()

    front.clock.advance(89)
    early = await front.store.expire()
    front.clock.advance(1)
    await front.store.expire()
    over = (await front.client.get(created["urls"]["get"])).json()

    assert not early
    assert created["deadline"] == over["deadline"] == over["completed_at"][:23] + "Z"
    assert over["status"] == "canceled"
