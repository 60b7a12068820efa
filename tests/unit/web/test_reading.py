"""Credentials, local names and the limit on bodies."""

from typing import Any

import pytest
from starlette.types import Message

from retouch.domain.errors import TooLarge
from retouch.web.auth import credential
from retouch.web.names import host_name, is_loopback
from retouch.web.reading import limited


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ({"authorization": "Bearer abc"}, "abc"),
        ({"authorization": "token  abc "}, "abc"),
        ({"authorization": "Key abc"}, "abc"),
        ({"x-key": "abc"}, "abc"),
        ({"x-api-key": "abc"}, "abc"),
        ({"authorization": "Basic abc"}, None),
        ({"authorization": "Bearer "}, None),
        ({}, None),
    ],
)
def test_a_credential_is_read_from_any_header(headers: dict[str, str], secret: str | None) -> None:
    assert credential(headers) == secret


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost:8787", True),
        ("app.localhost", True),
        ("127.0.0.9", True),
        ("[::1]:8787", True),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104  a Host header, not a bind
        ("", False),
    ],
)
def test_only_loopback_names_are_local(host: str, local: bool) -> None:
    assert is_loopback(host_name(host)) is local


async def test_a_body_is_cut_off_at_its_limit() -> None:
    async def endless() -> Message:
        return {"type": "http.request", "body": b"x" * 10, "more_body": True}

    receive: Any = limited(endless, {}, "body", 25)
    await receive()
    await receive()

    with pytest.raises(TooLarge):
        await receive()


def test_a_declared_length_over_the_limit_is_not_even_read() -> None:
    async def never() -> Message:
        raise AssertionError("read")

    with pytest.raises(TooLarge):
        limited(never, {"content-length": "26"}, "body", 25)
    limited(never, {"content-length": "26"}, "body", 25, slack=1)
