"""The network's side of safety: guarded downloads and webhooks, signed links, callers' keys."""

from retouch.net.chat import ChatUpsampler
from retouch.net.courier import GuardedCourier
from retouch.net.fetch import FetchPolicy, GuardedFetcher
from retouch.net.guard import GuardedTransport, NotPublic, Refused
from retouch.net.sealing import WebhookSigner
from retouch.net.signing import LinkSigner, key_matches, new_key, parse_key

__all__ = [
    "ChatUpsampler",
    "FetchPolicy",
    "GuardedCourier",
    "GuardedFetcher",
    "GuardedTransport",
    "LinkSigner",
    "NotPublic",
    "Refused",
    "WebhookSigner",
    "key_matches",
    "new_key",
    "parse_key",
]
