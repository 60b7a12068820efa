"""The server's secret rotates: a new one is put before the old, and later the old one goes.

What a receiver was told before keeps verifying until the old secret is gone, and what it is told
meanwhile, where its protocol can say two things at once, goes on verifying after that.
"""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from replicate.webhook import InvalidSignatureError, Webhooks, WebhookSigningSecret

from retouch.net import WebhookSigner
from retouch.protocols.fal.webhooks import message
from retouch.protocols.wavespeed.webhooks import signature
from retouch.web import create_app
from tests.contract.webhooks.conftest import sending

OLD, NEW = b"the older of two secrets", b"the newer of two secrets"
BEFORE, MEANWHILE, AFTER = WebhookSigner(OLD), WebhookSigner(NEW, OLD), WebhookSigner(NEW)
PICTURE = "https://pictures.example/cat.png"


async def told(front: Any, signer: WebhookSigner, path: str) -> Any:
    """What a server that signs like this publishes there."""
    app = create_app(replace(front.services, signer=signer))
    transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 4711))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return (await client.get(path)).json()


async def delivered(front: Any, receiver: Any, signer: WebhookSigner) -> Any:
    """The end of the queue's only prediction, signed like this."""
    await front.finish_one()
    await sending(front, signer)()
    return receiver.arrivals[-1]


def is_replicates(secret: dict[str, str], arrival: Any) -> bool:
    known = WebhookSigningSecret(**secret)
    try:
        Webhooks.validate(headers=dict(arrival.headers), body=arrival.body.decode(), secret=known)
    except InvalidSignatureError:
        return False
    return True


def is_fals(keys: dict[str, Sequence[dict[str, str]]], arrival: Any) -> bool:
    names = ("request-id", "user-id", "timestamp", "signature")
    id, user, stamp, signed = (arrival.headers[f"x-fal-webhook-{name}"] for name in names)
    for key in keys["keys"]:
        public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
        try:
            public.verify(bytes.fromhex(signed), message(id, user, stamp, arrival.body))
        except InvalidSignature:
            continue
        return True
    return False


def is_wavespeeds(secret: dict[str, Any], arrival: Any) -> bool:
    id, stamp = arrival.headers["webhook-id"], arrival.headers["webhook-timestamp"]
    expected = signature(secret["data"]["secret"], id, stamp, arrival.body)
    return expected == arrival.headers["webhook-signature"]


async def create_replicates(front: Any, hook: str) -> None:
    path = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
    await front.client.post(path, json={"input": {"prompt": "x"}, "webhook": hook})


async def create_fals(front: Any, hook: str) -> None:
    path = f"/queue/fal-ai/flux-pro/kontext?fal_webhook={hook}"
    await front.client.post(path, json={"prompt": "x", "image_url": PICTURE})


async def create_wavespeeds(front: Any, hook: str) -> None:
    path = f"/api/v3/wavespeed-ai/flux-kontext-pro?webhook={hook}"
    await front.client.post(path, json={"prompt": "x", "image": PICTURE})


REPLICATE = ("/v1/webhooks/default/secret", create_replicates, is_replicates)
FAL = ("/.well-known/jwks.json", create_fals, is_fals)
WAVESPEED = ("/api/v3/webhook/secret", create_wavespeeds, is_wavespeeds)


@pytest.mark.parametrize(
    ("protocol", "known_to", "signed_by", "is_genuine"),
    [
        *((it, BEFORE, MEANWHILE, True) for it in (REPLICATE, FAL, WAVESPEED)),
        *((it, MEANWHILE, MEANWHILE, True) for it in (REPLICATE, FAL, WAVESPEED)),
        *((it, MEANWHILE, AFTER, True) for it in (REPLICATE, FAL)),
        *((it, BEFORE, AFTER, False) for it in (REPLICATE, FAL, WAVESPEED)),
    ],
)
async def test_what_receivers_know_verifies_across_a_rotation(
    front: Any,
    receiver: Any,
    protocol: Any,
    known_to: WebhookSigner,
    signed_by: WebhookSigner,
    is_genuine: bool,
) -> None:
    path, create, check = protocol
    await create(front, receiver.url())

    known = await told(front, known_to, path)
    arrival = await delivered(front, receiver, signed_by)

    assert check(known, arrival) is is_genuine
