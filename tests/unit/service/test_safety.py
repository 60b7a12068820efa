"""The checks together: what they refuse, what they say they did, and when they look at all."""

import pytest

from retouch.domain.errors import Blocked, EngineFailed
from retouch.domain.picture import Picture
from retouch.service.safety import Safety
from retouch.service.words import WordList

BLACK, WHITE = Picture(1, 1, b"\0\0\0"), Picture(1, 1, b"\xff\xff\xff")


class NoBlack:
    """Refuses black, always."""

    name = "no-black"

    def judge(self, picture: Picture, tolerance: int) -> str | None:
        return "black" if picture.data == BLACK.data else None


class Broken:
    name = "broken"

    def judge(self, picture: Picture, tolerance: int) -> str | None:
        raise EngineFailed("The safety check of pictures failed: it is broken")


async def test_an_input_and_a_result_are_refused_in_different_words() -> None:
    safety = Safety(pictures=NoBlack())

    with pytest.raises(Blocked, match=r"^The prompt or an input picture was .* Found: black"):
        await safety.check_inputs([WHITE, BLACK], 2)
    with pytest.raises(Blocked, match=r"^The result was refused .* Found: black\."):
        await safety.check_results([WHITE, BLACK], 2)


async def test_only_what_was_looked_at_counts_as_judged() -> None:
    assert await Safety(pictures=NoBlack()).check_results([WHITE], 5)
    assert not await Safety(pictures=NoBlack()).check_results([BLACK], 6)
    assert not await Safety(WordList.built_in()).check_results([BLACK], 0)


async def test_a_check_that_fails_lets_nothing_pass() -> None:
    with pytest.raises(EngineFailed):
        await Safety(pictures=Broken()).check_results([WHITE], 2)


def test_a_prompt_is_refused_with_what_was_found() -> None:
    with pytest.raises(Blocked, match=r"^The prompt or an input picture was .* Found: nudity"):
        Safety(WordList.built_in()).check_prompt("nude", 2)


@pytest.mark.parametrize(
    ("safety", "tolerance", "line"),
    [
        (Safety(), 2, ""),
        (Safety(WordList.built_in()), 2, "Safety checks: prompt by built-in words\n"),
        (Safety(None, NoBlack()), 2, "Safety checks: pictures by no-black\n"),
        (Safety(None, NoBlack()), 6, ""),
    ],
)
def test_the_logs_tell_what_ran(safety: Safety, tolerance: int, line: str) -> None:
    assert safety.summary(tolerance) == line
