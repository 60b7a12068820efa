"""A protocol that signs with the server's key pair publishes the public half, to anybody."""

from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from retouch.protocols.base import Answer, Call, Facts, Route, Verb
from retouch.protocols.dialect import Dialect
from retouch.web import create_app


class Publisher(Dialect):
    """Tells what verifies a webhook: the public key openly, the secret to its owner."""

    name = "publisher"
    mounts = ("",)
    routes = (
        Route("GET", "/open", Verb.DESCRIBE, is_open=True),
        Route("GET", "/closed", Verb.DESCRIBE),
    )

    def describe(self, topic: str, call: Call, facts: Facts) -> Answer:
        return Answer(
            status=200, body=[[it.hex() for it in facts.public_keys], list(facts.webhook_secrets)]
        )

    def refuse(self, call: Call, error: Exception) -> Answer:
        return Answer(status=401)


async def test_an_open_address_tells_strangers_the_public_key_and_no_secret(front: Any) -> None:
    key = await front.key("ada")
    app = create_app(front.services, dialects=(Publisher(),))
    transport = httpx2.ASGITransport(app=app, client=("203.0.113.9", 4711))
    async with httpx2.AsyncClient(transport=transport, base_url="http://edit.example") as stranger:
        (public,), nothing = (await stranger.get("/open")).json()
        refused = await stranger.get("/closed")
        _, (secret,) = (await stranger.get("/closed", headers=key)).json()

    signed = front.services.signer.ed25519(b"message")
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signed, b"message")
    assert nothing == []
    assert refused.status_code == 401
    assert secret.startswith("whsec_")
