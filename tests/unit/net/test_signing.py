"""Signed links and callers' keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retouch.net.signing import LinkSigner, key_matches, new_key, parse_key

OLD, NEW = b"0123456789abcdef-old", b"0123456789abcdef-new"
PATH = "/files/p_1/1/0.png"


def opens(signer: LinkSigner, path: str, now: float, **parameters: str) -> bool:
    return signer.verify(path, parameters["expires"], parameters["signature"], now)


def test_a_link_opens_until_it_expires() -> None:
    parameters = LinkSigner(NEW).sign(PATH, 1000.7)

    assert opens(LinkSigner(NEW), PATH, 999.9, **parameters)
    assert not opens(LinkSigner(NEW), PATH, 1000.0, **parameters)


def test_a_link_opens_its_own_path_only() -> None:
    parameters = LinkSigner(NEW).sign(PATH, 1000)

    assert not opens(LinkSigner(NEW), PATH + "x", 0, **parameters)


def test_a_later_expiry_is_not_signed() -> None:
    parameters = LinkSigner(NEW).sign(PATH, 1000)

    assert not opens(LinkSigner(NEW), PATH, 0, **{**parameters, "expires": "2000"})
    assert not opens(LinkSigner(NEW), PATH, 0, **{**parameters, "expires": "01000"})


@given(st.integers(0, 42), st.characters(codec="utf-8"))
def test_a_changed_signature_is_refused(at: int, character: str) -> None:
    parameters = LinkSigner(NEW).sign(PATH, 1000)
    right = parameters["signature"]
    changed = right[:at] + character + right[at + 1 :]

    assert opens(LinkSigner(NEW), PATH, 0, expires="1000", signature=changed) == (changed == right)


@pytest.mark.parametrize("expires", ["", "-1", "1e9", "1000 ", "\uff11\uff10", "9" * 13, "1000\n"])
def test_a_malformed_expiry_is_refused(expires: str) -> None:
    signature = LinkSigner(NEW).sign(PATH, 1000)["signature"]

    assert not LinkSigner(NEW).verify(PATH, expires, signature, 0)


@pytest.mark.parametrize("signature", ["", "é", "\ud800", "x" * 1000])
def test_a_malformed_signature_is_refused(signature: str) -> None:
    assert not LinkSigner(NEW).verify(PATH, "1000", signature, 0)


def test_secrets_rotate() -> None:
    before = LinkSigner(OLD).sign(PATH, 1000)
    both = LinkSigner(NEW, OLD)

    assert opens(both, PATH, 0, **before)
    assert opens(LinkSigner(NEW), PATH, 0, **both.sign(PATH, 1000))
    assert not opens(LinkSigner(NEW), PATH, 0, **before)


@pytest.mark.parametrize("secrets", [(), (b"short",), (NEW, b"")])
def test_a_weak_secret_is_refused(secrets: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        LinkSigner(*secrets)


def test_a_key_is_found_by_its_prefix_and_matches_its_digest() -> None:
    text, prefix, digest = new_key()

    assert text.startswith(f"rt_{prefix}_")
    assert len(text) == 3 + 8 + 1 + 43
    assert parse_key(text) == prefix
    assert key_matches(text, digest)
    assert not key_matches(text + "x", digest)
    assert text.encode() not in digest


def test_a_key_takes_its_randomness_from_outside() -> None:
    assert new_key(bytes)[0] == "rt_aaaaaaaa_" + "A" * 43
    assert new_key()[0] != new_key()[0]


@pytest.mark.parametrize(
    "text",
    ["", "rt_", "sk-abc", "rt_aaaaaaaa_" + "A" * 42, "rt_aaaaaaaa_" + "A" * 44,
     "rt_AAAAAAAA_" + "A" * 43, " rt_aaaaaaaa_" + "A" * 43, "rt_aaaaaaaa_" + "A" * 43 + "\n"],
)  # fmt: skip
def test_what_is_no_key_has_no_prefix(text: str) -> None:
    assert parse_key(text) is None
