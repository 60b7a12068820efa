"""One POST to a real receiver, and to everything that is none."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

import pytest

from retouch.net import GuardedCourier
from retouch.ports import Receipt, Undelivered

LOOPBACK = (ip_network("127.0.0.0/8"),)


def courier(**options: Any) -> GuardedCourier:
    return GuardedCourier(LOOPBACK, **options)


async def test_a_message_arrives_byte_for_byte(receiver: Any) -> None:
    body = '{"a": "é"}'.encode()

    receipt = await courier().post(receiver.url("/a?b=c"), body, {"webhook-id": "1"})

    (arrival,) = receiver.arrivals
    assert receipt == Receipt(200)
    assert arrival.line == "POST /a?b=c HTTP/1.1"
    assert arrival.body == body
    assert arrival.headers["webhook-id"] == "1"
    assert arrival.headers["content-type"] == "application/json"
    assert arrival.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert arrival.headers["user-agent"].startswith("retouch/")


async def test_a_redirect_is_an_answer_not_an_address(receiver: Any) -> None:
    receiver.statuses = ["301 Moved Permanently"]
    receiver.headers = {"location": receiver.url("/elsewhere")}

    receipt = await courier().post(receiver.url(), b"{}", {})

    assert receipt.status == 301
    assert len(receiver.arrivals) == 1


async def test_a_huge_answer_is_not_read(receiver: Any) -> None:
    receiver.headers = {"content-length": str(10**12)}
    receiver.answer = b"x" * 1_000_000

    async with asyncio.timeout(30):
        assert (await courier().post(receiver.url(), b"{}", {})).status == 200


async def test_a_slow_receiver_is_left(receiver: Any) -> None:
    receiver.open.clear()

    with pytest.raises(Undelivered, match=r"longer than 0\.05 s"):
        await courier(timeout_s=0.05).post(receiver.url(), b"{}", {})


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("120", 120.0), ("0", 0.0), ("-1", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("", None)],
)
async def test_a_receiver_may_name_a_time(receiver: Any, said: str, seconds: float | None) -> None:
    receiver.statuses = ["503 Service Unavailable"]
    receiver.headers = {"retry-after": said}

    assert await courier().post(receiver.url(), b"{}", {}) == Receipt(503, seconds)


async def test_a_private_target_is_refused_and_the_setting_named(receiver: Any) -> None:
    with pytest.raises(Undelivered, match="allow_webhook"):
        await GuardedCourier().post(receiver.url(), b"{}", {})

    assert receiver.arrivals == []


async def test_a_name_for_a_private_address_is_refused_too(receiver: Any) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["93.184.215.14", "10.0.0.7"]

    with pytest.raises(Undelivered, match="allow_webhook"):
        await courier(resolve=resolve).post("http://hook.example/", b"{}", {})


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        with pytest.raises(Undelivered, match="no connection"):
            await courier().post(f"http://127.0.0.1:{port}/", b"{}", {})


@pytest.mark.parametrize(
    "url",
    ["", "ftp://127.0.0.1/", "http://", "http://[::1", "http://a:b@127.0.0.1/", "http://127.1/",
     "http://127.0.0.1:99999/", "http://a b/", "http://\ud800/"],
)  # fmt: skip
async def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    with pytest.raises(Undelivered):
        await courier().post(url, b"{}", {})
