"""What proves to a webhook's receiver that a message is ours. Every key derives from one secret,
so nothing is stored, and a restart or a second web process signs alike.
"""

import base64
import hmac

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class WebhookSigner:
    """Owners' shared secrets, and one key pair for protocols that publish a public key."""

    def __init__(self, secret: bytes) -> None:
        """`secret` is the server's own, of at least 16 bytes."""
        if len(secret) < 16:
            raise ValueError("a webhook signer needs a secret of at least 16 bytes")
        self._secret = secret
        self._private = Ed25519PrivateKey.from_private_bytes(self._derived("key pair", ""))

    def secret(self, owner: str) -> str:
        """The owner's signing secret: `whsec_` and 32 bytes in standard base 64."""
        return "whsec_" + base64.b64encode(self._derived("owner", owner)).decode()

    def ed25519(self, message: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature under the server's key pair."""
        return self._private.sign(message)

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that verify `ed25519`."""
        return self._private.public_key().public_bytes_raw()

    def _derived(self, purpose: str, name: str) -> bytes:
        return hmac.digest(self._secret, f"retouch webhook\n{purpose}\n{name}".encode(), "sha256")
