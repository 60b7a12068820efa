"""Webhooks as WaveSpeed's callers ask for them, and as their receivers check them."""

import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

from retouch.domain.errors import Violation
from retouch.domain.prediction import FINAL, Webhook
from retouch.protocols.base import Call, Notice, Notification, View
from retouch.protocols.schema import is_web_address
from retouch.protocols.values import shown
from retouch.protocols.wavespeed.errors import invalid
from retouch.protocols.wavespeed.render import task

QUERY = "webhook"
BODY = ("webhook_url", "webhook")


def webhook_faults(call: Call, body: Mapping[str, Any]) -> list[Violation]:
    """What is wrong with the address, if one is named."""
    name, url = _asked(call, body)
    if not url or (isinstance(url, str) and is_web_address(url)):
        return []
    return [invalid(name, "must be an http(s) URL", shown(url))]


def webhook_of(call: Call, body: Mapping[str, Any]) -> Webhook | None:
    """The webhook a checked call asks for: told of the end, whatever it is."""
    _, url = _asked(call, body)
    return Webhook(url=url, tells=FINAL, origin=call.origin, mount=call.mount) if url else None


def _asked(call: Call, body: Mapping[str, Any]) -> tuple[str, Any]:
    """Where an address was named and what it is: in the query first, then in the body."""
    if call.query.get(QUERY):
        return QUERY, _unbroken(call.query_text) or call.query[QUERY]
    name = next((it for it in BODY if body.get(it)), QUERY)
    return name, body.get(name)


def _unbroken(query: str) -> str:
    """The address when a client put it into the query as it is, with `&` and `=` of its own.

    Empty when it was encoded: an encoded one has no `=`.
    """
    found = f"&{query}".partition(f"&{QUERY}=")[2]
    return found if "=" in found.partition("&")[0] else ""


def notification(call: Call, view: View, notice: Notice) -> Notification:
    """The bare task with its input, signed as WaveSpeed signs."""
    body = msgspec.json.encode({**task(call, view), "input": dict(view.input)})
    stamp = str(int(notice.at))
    secret = notice.signer.secrets(view.prediction.owner)[-1]  # receivers expect one signature
    headers = {
        "webhook-id": notice.id,
        "webhook-timestamp": stamp,
        "webhook-signature": signature(secret, notice.id, stamp, body),
    }
    return Notification(body=body, headers=headers)


def signature(secret: str, id: str, stamp: str, body: bytes) -> str:
    """`v3,` and the HMAC-SHA256 of `{id}.{stamp}.{body}`, in lower-case hex.

    Unlike in Standard Webhooks the key is the secret's own text, not what its base 64 says.
    """
    key = secret.removeprefix("whsec_").encode()
    return f"v3,{hmac.new(key, f'{id}.{stamp}.'.encode() + body, 'sha256').hexdigest()}"
