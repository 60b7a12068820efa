"""Lines of one moment are one write, none waits for longer, and none tells a secret."""

import asyncio
import io
import json
import re
from datetime import UTC, datetime

import pytest
import structlog

from retouch.domain.errors import Busy
from retouch.logs import Gathered, configure, redact, stamp


class Writes(io.StringIO):
    """A stream that knows what was written at once."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def write(self, text: str) -> int:
        self.seen.append(text)
        return len(text)


def say(lines: Gathered, text: str) -> None:
    lines.write(text)
    lines.flush()


async def test_lines_of_one_turn_of_the_loop_are_written_once_at_its_end() -> None:
    writes = Writes()
    lines = Gathered(writes)

    say(lines, "one\n")
    say(lines, "two\n")
    assert writes.seen == []
    await asyncio.sleep(0)
    say(lines, "three\n")
    await asyncio.sleep(0)

    assert writes.seen == ["one\ntwo\n", "three\n"]


def test_a_line_outside_of_a_loop_is_written_at_once_with_what_a_dead_loop_left() -> None:
    writes = Writes()
    lines = Gathered(writes)
    loop = asyncio.new_event_loop()
    loop.call_soon(say, lines, "left\n")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    say(lines, "after\n")

    assert "".join(writes.seen) == "left\nafter\n"


def test_text_that_no_terminal_shows_has_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text")
    structlog.get_logger().info("a.line", number=1)

    said = capsys.readouterr().err
    assert "a.line" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("error", [Busy("the file store cannot be used now"), ZeroDivisionError()])
def test_an_outage_is_told_with_its_cause_and_only_a_fault_of_ours_with_a_traceback(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("info", "json")
    try:
        raise error from OSError("No space left on device\nand more")
    except (Busy, ZeroDivisionError):
        structlog.get_logger().exception("turn.failed")

    line = json.loads(capsys.readouterr().err)
    if isinstance(error, Busy):
        assert line["reason"] == "the file store cannot be used now"
        assert line["cause"] == "OSError: No space left on device"
        assert "exception" not in line
    else:
        assert "ZeroDivisionError" in line["exception"]


def test_a_line_says_when_to_the_microsecond_in_utc() -> None:
    before = datetime.now(UTC)
    line = stamp(None, "info", {})
    after = datetime.now(UTC)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])
    assert before <= datetime.fromisoformat(line["timestamp"]) <= after


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"status": 200, "address": "/v1/start_by"}, {"status": 200, "address": "/v1/start_by"}),
        ({"address": "/x", "x-api-key": 7}, {"address": "/x", "x-api-key": "<hidden>"}),
        ({"a": "x", "b": "key rt_01234567_" + "k" * 43}, {"a": "x", "b": "key <hidden>"}),
        ({"b": "whsec_c2VjcmV0"}, {"b": "<hidden>"}),
        ({"b": "/files/k?signature=ab&expires=1"}, {"b": "/files/k?signature=<hidden>&expires=1"}),
        (
            {"b": "at data:image/png;base64," + "A" * 40},
            {"b": "at <data URI of 62 characters>"},
        ),
    ],
)
def test_a_secret_is_hidden_by_its_name_or_its_shape(
    said: dict[str, object], told: dict[str, object]
) -> None:
    assert redact(None, "info", said) == told
