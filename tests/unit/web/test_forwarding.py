"""Origins, callers' addresses, and whom a proxy is believed."""

from collections.abc import Mapping
from typing import Any

import pytest

from retouch.web.forwarding import Forwarding, is_from_here

FAR = "203.0.113.7"
CHAIN = f"198.51.100.1, {FAR}"


def scope(headers: Mapping[str, str], peer: str | None = "127.0.0.1") -> dict[str, Any]:
    return {
        "scheme": "http",
        "server": ("10.0.0.5", 8787),
        "client": (peer, 4711) if peer else None,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("edit.example", "http://edit.example"),
        ("[::1]:8787", "http://[::1]:8787"),
        ("edit.example:443", "http://edit.example:443"),
        ("", "http://10.0.0.5:8787"),
        ("evil/path", "http://10.0.0.5:8787"),
        ("a b", "http://10.0.0.5:8787"),
    ],
)
def test_an_origin_is_what_the_caller_spelled_when_that_is_a_host(host: str, origin: str) -> None:
    assert Forwarding().origin(scope({"host": host})) == origin


def test_a_forwarded_scheme_is_http_or_https() -> None:
    trusting = Forwarding(trust_forwarded=True)

    origins = [
        trusting.origin(scope({"host": "a", "x-forwarded-proto": said}))
        for said in ("https", "javascript")
    ]

    assert origins == ["https://a", "http://a"]


def test_the_public_url_goes_before_whatever_is_said() -> None:
    configured = Forwarding(public_url="https://edit.example/", trust_forwarded=True)
    said = {"host": "a", "x-forwarded-host": "b", "x-forwarded-proto": "http"}

    assert configured.origin(scope(said)) == "https://edit.example"


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (FAR, FAR),
        (f"::ffff:{FAR}", FAR),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:2", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        (None, ""),
    ],
)
def test_a_caller_is_its_address_or_of_ipv6_its_network(peer: str | None, address: str) -> None:
    assert Forwarding().address(scope({}, peer)) == address


@pytest.mark.parametrize("said", ["[", "]:", ":::", "x" * 10_000, "a, ,", "%00", "[::1", "a:80"])
def test_a_header_that_names_no_address_changes_nothing(said: str) -> None:
    forwarding = Forwarding(trust_forwarded=True)

    assert forwarding.address(scope({"x-forwarded-for": said}, FAR)) == FAR


@pytest.mark.parametrize(
    ("said", "address"),
    [
        (CHAIN, FAR),  # the nearest proxy saw it
        (f"{FAR}:50123", FAR),
        ("2001:db8::1", "2001:db8::/64"),
        ("[2001:db8::2]:50123", "2001:db8::/64"),
    ],
)
def test_a_proxy_on_this_machine_or_a_trusted_one_says_who_it_is(said: str, address: str) -> None:
    asking = {"x-forwarded-for": said}

    assert Forwarding().address(scope(asking, "127.0.0.1")) == address
    assert Forwarding(trust_forwarded=True).address(scope(asking, "10.0.0.2")) == address
    assert Forwarding().address(scope(asking, "10.0.0.2")) == "10.0.0.2"


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("127.0.0.1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        (FAR, {}, False),
        (None, {}, False),
        ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}, False),
        ("127.0.0.1", {"x-real-ip": FAR}, False),
        ("127.0.0.1", {"forwarded": f"for={FAR}"}, False),
    ],
)
def test_from_here_is_what_no_proxy_forwards(
    peer: str | None, headers: dict[str, str], expected: bool
) -> None:
    assert is_from_here(scope(headers, peer)) is expected
