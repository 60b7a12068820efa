"""How long one who guesses has to wait."""

import pytest

from retouch.domain.errors import Throttled
from retouch.testing import FakeClock
from retouch.web import guesses as module
from retouch.web.guesses import Guesses

FAR = "203.0.113.7"


def tries(guesses: Guesses, address: str, times: int) -> int:
    """How many wrong keys one at this address gets answered before it has to wait."""
    for done in range(times):
        try:
            guesses.require_patience(address)
        except Throttled:
            return done
        guesses.count(address)
    return times


def test_so_many_at_once_and_then_one_as_each_share_of_the_minute_passes() -> None:
    clock = FakeClock()
    guesses = Guesses(30, now=clock.monotonic)

    assert tries(guesses, FAR, 100) == 30
    with pytest.raises(Throttled, match="too many wrong keys") as refused:
        guesses.require_patience(FAR)
    assert refused.value.retry_after_s == pytest.approx(2)

    clock.advance(1.9)
    assert tries(guesses, FAR, 100) == 0
    clock.advance(0.2)
    assert tries(guesses, FAR, 100) == 1
    clock.advance(600)
    assert tries(guesses, FAR, 100) == 30


def test_each_address_is_counted_alone() -> None:
    guesses = Guesses(5)

    assert tries(guesses, FAR, 9) == 5
    assert tries(guesses, "203.0.113.8", 9) == 5
    assert tries(guesses, FAR, 9) == 0


def test_who_has_no_address_is_not_limited() -> None:
    assert tries(Guesses(5), "", 50) == 50


def test_a_limit_of_nothing_counts_nothing() -> None:
    assert tries(Guesses(0), FAR, 1000) == 1000


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADDRESSES", 100)
    guesses = Guesses(5)

    for number in range(1000):
        guesses.count(f"10.0.{number // 256}.{number % 256}")

    assert len(guesses) == 100
