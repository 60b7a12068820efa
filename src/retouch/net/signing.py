"""Proofs we hand out: links that expire and callers' keys. Pure, but for the randomness passed in.

A link's signature covers its path and its expiry. A key's text is shown once; what is kept is its
prefix, to find it by, and its SHA-256 digest, enough for 256 random bits.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

_KEY = re.compile(r"rt_([a-z2-7]{8})_[A-Za-z0-9_-]{43}")
_EXPIRES = re.compile(r"[0-9]{1,12}")


class LinkSigner:
    """Signs links with the first secret and accepts those of all, so that secrets can rotate."""

    def __init__(self, *secrets: bytes) -> None:
        if not secrets or any(len(secret) < 16 for secret in secrets):
            raise ValueError("a link signer needs secrets of at least 16 bytes")
        self._secrets = secrets

    def sign(self, path: str, expires_at: float) -> dict[str, str]:
        """The query parameters that open `path` until `expires_at` (UTC seconds, rounded down)."""
        expires = str(int(expires_at))
        return {"expires": expires, "signature": _signature(self._secrets[0], path, expires)}

    def verify(self, path: str, expires: str, signature: str, now: float) -> bool:
        """Whether the parameters open `path` at `now`; False for anything malformed."""
        if not _EXPIRES.fullmatch(expires):
            return False
        given = signature.encode("utf-8", "replace")
        is_ours = False
        for secret in self._secrets:  # all of them, so that timing does not tell which matched
            is_ours |= hmac.compare_digest(_signature(secret, path, expires).encode(), given)
        return is_ours and now < int(expires)


def _signature(secret: bytes, path: str, expires: str) -> str:
    message = f"retouch link\n{expires}\n{path}".encode()
    return _text(hmac.digest(secret, message, "sha256"))


def new_key(random: Callable[[int], bytes] = secrets.token_bytes) -> tuple[str, str, bytes]:
    """A caller's new key: its text, its prefix, and the digest to keep."""
    prefix = base64.b32encode(random(5)).decode().lower()
    text = f"rt_{prefix}_{_text(random(32))}"
    return text, prefix, _digest(text)


def parse_key(text: str) -> str | None:
    """The prefix of a key, or None when the text is not one of ours."""
    found = _KEY.fullmatch(text)
    return found[1] if found else None


def key_matches(text: str, digest: bytes) -> bool:
    """Whether the digest is this key's, in constant time."""
    return hmac.compare_digest(_digest(text), digest)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
