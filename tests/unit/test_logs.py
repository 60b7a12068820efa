"""Lines of one moment are one write, and none waits for longer."""

import asyncio
import io

from retouch.logs import Gathered


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
