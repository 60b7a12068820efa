"""A prompt made ready: used, elaborated or refused, and never in silence."""

import pytest

from retouch.domain.edit import Edit
from retouch.domain.errors import Blocked
from retouch.ports import NotUpsampled
from retouch.service.safety import Safety
from retouch.service.words import WordList
from retouch.worker.prompt import OFF, ready

ASKED = Edit(prompt="a cat", prompt_upsampling=True)
WORDS = Safety(WordList.built_in())


class Saying:
    name = "small"

    def __init__(self, answer: str | NotUpsampled) -> None:
        self.answer = answer

    async def upsample(self, prompt: str, pictures: int) -> str:
        if isinstance(self.answer, NotUpsampled):
            raise self.answer
        return self.answer


async def test_nobody_who_did_not_ask_is_elaborated() -> None:
    edit = Edit(prompt="a cat")

    assert await ready(edit, Safety(), Saying("a tabby cat")) == (edit, "")


async def test_an_elaborated_prompt_is_used_and_told() -> None:
    edit, said = await ready(ASKED, Safety(), Saying("a tabby cat"))

    assert edit.prompt == "a tabby cat"
    assert said == "Upsampled prompt, by small: a tabby cat\n"


@pytest.mark.parametrize(
    ("upsampler", "line"),
    [
        (None, OFF),
        (
            Saying(NotUpsampled("the endpoint answered 500")),
            "The prompt was not upsampled, the endpoint answered 500: it was used as it is.\n",
        ),
        (
            Saying("a nude cat"),
            "The upsampled prompt was refused by a safety check: your own was used.\n",
        ),
    ],
    ids=["off", "failed", "refused"],
)
async def test_otherwise_the_callers_own_is_used_and_the_logs_say_why(
    upsampler: Saying | None, line: str
) -> None:
    assert await ready(ASKED, WORDS, upsampler) == (ASKED, line)


async def test_a_refused_prompt_is_not_even_elaborated() -> None:
    edit = Edit(prompt="a nude", prompt_upsampling=True)

    with pytest.raises(Blocked):
        await ready(edit, WORDS, Saying(NotUpsampled("it was asked")))
