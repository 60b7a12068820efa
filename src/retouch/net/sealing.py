"""Secrets and keys that sign webhooks. All derive from the server's secrets, so nothing is stored,
and the signatures are the same after a restart and in every web process.
"""

import base64
import hmac
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class WebhookSigner:
    """Owners' shared secrets, and key pairs for protocols that publish a public key.

    There is one of each for every secret of the server, newest first, so that these can rotate:
    a receiver that knows an older one is understood until the operator drops it.
    """

    def __init__(self, *secrets: bytes) -> None:
        """`secrets` are the server's own, newest first, each of at least 16 bytes."""
        if not secrets or any(len(secret) < 16 for secret in secrets):
            raise ValueError("a webhook signer needs secrets of at least 16 bytes")
        self._secrets = secrets
        pairs = [_derived(secret, "key pair", "") for secret in secrets]
        self._pairs = [Ed25519PrivateKey.from_private_bytes(pair) for pair in pairs]

    def secrets(self, owner: str) -> Sequence[str]:
        """The owner's signing secrets: each `whsec_` and 32 bytes in standard base 64."""
        found = [_derived(secret, "owner", owner) for secret in self._secrets]
        return ["whsec_" + base64.b64encode(it).decode() for it in found]

    def ed25519(self, message: bytes) -> bytes:
        """The 64 bytes of a signature under the oldest pair, which every receiver has met."""
        return self._pairs[-1].sign(message)

    @property
    def public_keys(self) -> Sequence[bytes]:
        """The 32 bytes of each pair's public half."""
        return [pair.public_key().public_bytes_raw() for pair in self._pairs]


def _derived(secret: bytes, purpose: str, name: str) -> bytes:
    return hmac.digest(secret, f"retouch webhook\n{purpose}\n{name}".encode(), "sha256")
