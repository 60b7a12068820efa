"""The network's side of safety: guarded downloads, signed links, callers' keys."""

from retouch.net.fetch import FetchPolicy, GuardedFetcher
from retouch.net.guard import GuardedTransport, NotPublic, Refused
from retouch.net.signing import LinkSigner, key_matches, new_key, parse_key

__all__ = [
    "FetchPolicy",
    "GuardedFetcher",
    "GuardedTransport",
    "LinkSigner",
    "NotPublic",
    "Refused",
    "key_matches",
    "new_key",
    "parse_key",
]
