"""The keys webhooks are signed with."""

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from retouch.net import WebhookSigner

SIGNER = WebhookSigner(b"a secret of some length")


def test_a_secret_is_the_prefix_and_padded_standard_base64_of_32_bytes() -> None:
    for owner in map(str, range(50)):
        (secret,) = SIGNER.secrets(owner)
        prefix, _, text = secret.partition("_")

        assert prefix == "whsec"
        assert not set(text) & set("_-")
        assert len(base64.b64decode(text, validate=True)) == 32


def test_each_owner_has_a_secret_of_its_own_and_keeps_it() -> None:
    again = WebhookSigner(b"a secret of some length")
    elsewhere = WebhookSigner(b"another secret of some length")

    assert SIGNER.secrets("ada") == again.secrets("ada")
    assert len({*SIGNER.secrets("ada"), *SIGNER.secrets("eve"), *elsewhere.secrets("ada")}) == 3


def test_the_public_key_verifies_what_was_signed_and_nothing_else() -> None:
    (raw,) = SIGNER.public_keys
    public = Ed25519PublicKey.from_public_bytes(raw)
    signature = SIGNER.ed25519(b"message")

    public.verify(signature, b"message")
    with pytest.raises(InvalidSignature):
        public.verify(signature, b"another")


@pytest.mark.parametrize("secrets", [(), (b"short",), (b"a secret of some length", b"short")])
def test_a_short_secret_is_refused(secrets: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        WebhookSigner(*secrets)
