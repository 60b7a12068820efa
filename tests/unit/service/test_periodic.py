"""What is done again and again: a turn that fails is told and repeated."""

import asyncio

from structlog.testing import capture_logs

from retouch.service.periodic import Periodic


async def test_a_failed_turn_is_told_and_repeated() -> None:
    turns, enough = 0, asyncio.Event()

    async def turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            enough.set()
        raise ZeroDivisionError

    periodic = Periodic("sweeps", turn, every_s=0)
    with capture_logs() as lines:
        await periodic.start()
        await asyncio.wait_for(enough.wait(), 30)
        await periodic.stop()

    told = {"event": "periodic.turn_failed", "log_level": "error", "name": "sweeps"}
    assert lines[:2] == [{**told, "exc_info": True}] * 2
