"""Whom wrong keys are counted for, and how long one who guesses has to wait."""

import pytest

from retouch.domain.errors import Throttled
from retouch.testing import FakeClock
from retouch.web import guesses as module
from retouch.web.guesses import Guesses

FAR = "203.0.113.7"


def tries(guesses: Guesses, peer: str, times: int, **headers: str) -> int:
    """How many wrong keys one at this address gets answered before it has to wait."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    for done in range(times):
        try:
            guesses.require_patience(named, peer)
        except Throttled:
            return done
        guesses.count(named, peer)
    return times


def test_so_many_at_once_and_then_one_as_each_share_of_the_minute_passes() -> None:
    clock = FakeClock()
    guesses = Guesses(30, now=clock.monotonic)

    assert tries(guesses, FAR, 100) == 30
    with pytest.raises(Throttled, match="too many wrong keys") as refused:
        guesses.require_patience({}, FAR)
    assert refused.value.retry_after_s == pytest.approx(2)

    clock.advance(1.9)
    assert tries(guesses, FAR, 100) == 0
    clock.advance(0.2)
    assert tries(guesses, FAR, 100) == 1
    clock.advance(600)
    assert tries(guesses, FAR, 100) == 30


def test_each_address_is_counted_alone_and_of_ipv6_each_network() -> None:
    guesses = Guesses(5)

    assert tries(guesses, FAR, 9) == 5
    assert tries(guesses, "203.0.113.8", 9) == 5
    assert tries(guesses, f"::ffff:{FAR}", 9) == 0
    assert tries(guesses, "2001:db8::1", 9) == 5
    assert tries(guesses, "2001:db8::ffff:2", 9) == 0
    assert tries(guesses, "2001:db8:0:1::1", 9) == 5


@pytest.mark.parametrize("said", ["[", "]:", ":::", "x" * 10_000, "a, ,", "%00", "[::1", "a:80"])
def test_a_header_that_names_no_address_changes_nothing(said: str) -> None:
    assert tries(Guesses(5, trust_forwarded=True), FAR, 9, x_forwarded_for=said) == 5


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", None])
def test_this_machine_is_not_limited(peer: str | None) -> None:
    assert tries(Guesses(5), peer, 50) == 50


def test_a_limit_of_nothing_counts_nothing() -> None:
    assert tries(Guesses(0), FAR, 1000) == 1000


def test_a_proxy_on_this_machine_or_a_trusted_one_says_who_it_is() -> None:
    near, trusted, distrusted = Guesses(5), Guesses(5, trust_forwarded=True), Guesses(5)
    chain = f"198.51.100.1, {FAR}"

    assert tries(near, "127.0.0.1", 9, x_forwarded_for=chain) == 5
    assert tries(near, FAR, 9) == 0  # the nearest proxy saw it
    assert tries(trusted, "10.0.0.2", 9, x_forwarded_for=chain) == 5
    assert tries(trusted, "10.0.0.2", 9, x_forwarded_for="198.51.100.2") == 5
    assert tries(trusted, "10.0.0.2", 9, x_forwarded_for=f"{FAR}:50123") == 0
    assert tries(trusted, "10.0.0.2", 9, x_forwarded_for="2001:db8::1") == 5
    assert tries(trusted, "10.0.0.2", 9, x_forwarded_for="[2001:db8::2]:50123") == 0
    assert tries(distrusted, "10.0.0.2", 9, x_forwarded_for=chain) == 5
    assert tries(distrusted, "10.0.0.2", 9, x_forwarded_for="198.51.100.2") == 0


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADDRESSES", 100)
    guesses = Guesses(5)

    for number in range(1000):
        guesses.count({}, f"10.0.{number // 256}.{number % 256}")

    assert len(guesses._spent_until) == 100
