"""Webhooks as fal's receivers check them.

One key pair signs for everybody; its public half stands at an open address, so no secret is shared.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from retouch.domain.ids import as_uuid
from retouch.domain.prediction import Status
from retouch.protocols.base import Call, Notice, Notification, View
from retouch.protocols.fal.errors import failure
from retouch.protocols.fal.render import result_body

KEYS_MAX_AGE_S = 3600  # receivers keep our keys that long


def notification(call: Call, view: View, notice: Notice) -> Notification:
    """The result or the error in its place, signed as fal signs."""
    it = view.prediction
    id = as_uuid(it.id)
    body = msgspec.json.encode({"request_id": id, "gateway_request_id": id, **_said(call, view)})
    stamp = str(int(notice.at))
    signed = notice.signer.ed25519(message(id, it.owner, stamp, body))
    headers = {
        "x-fal-webhook-request-id": id,
        "x-fal-webhook-user-id": it.owner,
        "x-fal-webhook-timestamp": stamp,
        "x-fal-webhook-signature": signed.hex(),
    }
    return Notification(body=body, headers=headers)


def message(request_id: str, user_id: str, stamp: str, body: bytes) -> bytes:
    """What is signed: four lines, the last a digest of the body."""
    lines = (request_id, user_id, stamp, hashlib.sha256(body).hexdigest())
    return "\n".join(lines).encode()


def _said(call: Call, view: View) -> Mapping[str, Any]:
    it = view.prediction
    if it.status is Status.SUCCEEDED:
        return {"status": "OK", "payload": result_body(view)}
    answer = failure(call, it)
    # The vendor's sentence ends with the code, which tells a person nothing.
    error = f"Invalid status code: {answer.status}: {answer.body['message']}"
    return {"status": "ERROR", "error": error, "payload": answer.body}


def key_set(public_keys: Sequence[bytes]) -> Mapping[str, Any]:
    """The public halves as a JSON Web Key Set; a key's id is its RFC 7638 thumbprint."""
    return {"keys": [_web_key(it) for it in public_keys]}


def _web_key(public_key: bytes) -> Mapping[str, Any]:
    key = {"crv": "Ed25519", "kty": "OKP", "x": _text(public_key)}
    thumbprint = hashlib.sha256(msgspec.json.encode(key)).digest()
    return {**key, "kid": _text(thumbprint), "use": "sig", "alg": "EdDSA"}


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
