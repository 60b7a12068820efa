"""Webhooks as BFL's callers ask for them, and as their receivers check them."""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from retouch.domain.errors import Violation
from retouch.domain.prediction import FINAL, Webhook
from retouch.protocols.base import Call, Notice, Notification, View
from retouch.protocols.bfl.render import result_body, trouble
from retouch.protocols.schema import is_web_address
from retouch.protocols.values import shown

URL, SECRET = "webhook_url", "webhook_secret"


def webhook_faults(fields: Mapping[str, Any], faulty: set[str]) -> list[Violation]:
    """What is wrong with an address that the schema found fine."""
    if URL not in fields or URL in faulty or is_web_address(fields[URL]):
        return []
    words = "Input should be a valid http(s) URL"
    return [Violation(URL, "url_parsing", words, shown(fields[URL]))]


def webhook_of(call: Call, fields: Mapping[str, Any]) -> Webhook | None:
    """The webhook that checked fields ask for: told of the end, whatever it is."""
    if URL not in fields:
        return None
    secret = fields.get(SECRET, "")
    return Webhook(
        url=fields[URL], tells=FINAL, origin=call.origin, mount=call.mount, secret=secret
    )


def notification(view: View, notice: Notice) -> Notification:
    """The end of a task; signed if the caller brought a secret, as the vendor does."""
    it = view.prediction
    polled = result_body(view)
    body: dict[str, Any] = {name: polled[name] for name in ("id", "status", "result")}
    if (words := trouble(it)) is not None:
        body |= {"details": polled["details"], "error": words, "message": words}
    ended = datetime.fromtimestamp(it.completed_at or it.created_at, UTC)
    body["timestamp"] = ended.isoformat(timespec="milliseconds")[:-6] + "Z"
    sent = msgspec.json.encode(body)
    headers = {"x-bfl-signature": signature(notice.secret, sent)} if notice.secret else {}
    return Notification(body=sent, headers=headers)


def signature(secret: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256 of the body, in lower-case hex."""
    return f"sha256={hmac.new(secret.encode(), body, 'sha256').hexdigest()}"
