"""What is done again and again: a turn that fails is told, in a line where the cause is known."""

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from retouch.domain.errors import Busy
from retouch.service.periodic import Periodic


def away() -> None:
    raise Busy("The file store cannot be used now.") from OSError("no route to host\nand more")


def wrong() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("fail", "told"),
    [
        (
            away,
            {
                "log_level": "warning",
                "reason": "The file store cannot be used now.",
                "cause": "OSError: no route to host",
            },
        ),
        (wrong, {"log_level": "error", "exc_info": True}),
    ],
)
async def test_a_failed_turn_is_told_and_repeated(
    fail: Callable[[], None], told: dict[str, object]
) -> None:
    turns, enough = 0, asyncio.Event()

    async def turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            enough.set()
        fail()

    periodic = Periodic("sweeps", turn, every_s=0)
    with capture_logs() as lines:
        await periodic.start()
        await asyncio.wait_for(enough.wait(), 10)
        await periodic.stop()

    wanted = {"event": "periodic.turn_failed", "name": "sweeps", **told}
    assert lines[:2] == [wanted, wanted]
