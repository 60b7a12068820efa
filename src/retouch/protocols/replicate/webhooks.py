"""Webhooks as Replicate's clients ask for them, and as their validators check them."""

import base64
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

from retouch.domain.errors import Violation
from retouch.domain.prediction import FINAL, Status, Webhook
from retouch.protocols.base import Call, Notice, Notification, View
from retouch.protocols.replicate.errors import mistyped
from retouch.protocols.replicate.render import prediction_body
from retouch.protocols.schema import is_web_address
from retouch.protocols.values import shown

TELLS: Mapping[str, frozenset[Status]] = {
    "start": frozenset({Status.RUNNING}),
    "output": frozenset({Status.SUCCEEDED}),  # the outputs come with the end
    "logs": FINAL,  # and so do the logs
    "completed": FINAL,
}
DEFAULT_FILTER = ("output", "completed")


def webhook_faults(body: Mapping[str, Any]) -> list[Violation]:
    """Every broken rule of the three keys, in their order."""
    broken = []
    for key in ("webhook", "webhook_completed"):
        url = body.get(key)
        if url is not None and not isinstance(url, str):
            broken.append(mistyped(key, "string", url))
        elif url and not is_web_address(url):
            broken.append(Violation(key, "format", "Does not match format 'uri'", shown(url)))
    other = body.get("webhook_completed")
    if body.get("webhook") and other not in (None, "", body["webhook"]):
        words = "Must be the same as webhook: a prediction tells one address"
        broken.append(Violation("webhook_completed", "not_supported", words, shown(other)))
    chosen = body.get("webhook_events_filter")
    if chosen is not None and not isinstance(chosen, list):
        broken.append(mistyped("webhook_events_filter", "array", chosen))
    elif wrong := [word for word in chosen or () if not isinstance(word, str) or word not in TELLS]:
        choices = ", ".join(f'"{word}"' for word in TELLS)
        words = f"webhook_events_filter must be one of the following: {choices}"
        broken.append(Violation("webhook_events_filter", "enum", words, shown(wrong[0])))
    return broken


def webhook_of(call: Call, body: Mapping[str, Any]) -> Webhook | None:
    """The webhook a checked body asks for."""
    url, tells = body.get("webhook"), FINAL
    if url:
        words = body.get("webhook_events_filter") or DEFAULT_FILTER
        tells = frozenset[Status]().union(*(TELLS[word] for word in words))
    else:
        url = body.get("webhook_completed")
    return Webhook(url=url, tells=tells, origin=call.origin, mount=call.mount) if url else None


def notification(call: Call, view: View, notice: Notice) -> Notification:
    """The prediction as a GET shows it, signed as Standard Webhooks says.

    Validators look for one signature of theirs among several.
    """
    body = msgspec.json.encode(prediction_body(call, view))
    stamp = str(int(notice.at))
    headers = {
        "webhook-id": notice.id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(
            signature(secret, notice.id, stamp, body)
            for secret in notice.signer.secrets(view.prediction.owner)
        ),
    }
    return Notification(body=body, headers=headers)


def signature(secret: str, id: str, stamp: str, body: bytes) -> str:
    """`v1,` and the HMAC-SHA256 of `{id}.{stamp}.{body}`, in base 64 with its padding."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.digest(key, f"{id}.{stamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(mac).decode()}"
