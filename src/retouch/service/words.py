"""A list of words as a check of prompts: plain, fast, and wrong in both directions at times.

It sees only phrases somebody wrote down. `words.txt` beside this file is the list that ships; its
head explains the form.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

LINE = re.compile(r"([0-6]) ([^:]+): *(.+)")
PHRASE = re.compile(r"[^\W_]+(?: [^\W_]+)*\*?")


@dataclass(frozen=True, slots=True)
class Ban:
    """Refuses, up to a tolerance, prompts in which every one of some patterns is found."""

    tolerance: int
    kind: str
    patterns: tuple[re.Pattern[str], ...]


class WordList:
    """`retouch.ports.PromptCheck` over bans."""

    def __init__(self, name: str, bans: tuple[Ban, ...]) -> None:
        self.name = name
        self._bans = bans

    @classmethod
    def built_in(cls) -> "WordList":
        """The list that ships with retouch."""
        return _built_in()

    @classmethod
    def read(cls, path: Path) -> "WordList":
        """A list of the operator's own.

        Raises OSError, and ValueError naming the line that cannot be understood.
        """
        return cls(f"words of {path}", parse(path.read_text(encoding="utf-8")))

    def judge(self, prompt: str, tolerance: int) -> str | None:
        """The kind of the first ban that holds at this tolerance, None if the prompt may pass."""
        text = plain(prompt)
        for ban in self._bans:
            if tolerance <= ban.tolerance and all(it.search(text) for it in ban.patterns):
                return ban.kind
        return None


def parse(text: str) -> tuple[Ban, ...]:
    """The bans of a list; raises ValueError naming the line."""
    bans = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = LINE.fullmatch(line.strip())
        if found is None:
            raise ValueError(f"line {number}: expected 'TOLERANCE KIND: PHRASES', such as '2 x: y'")
        for phrase in found[3].split(","):
            try:
                patterns = tuple(_pattern(side) for side in phrase.split("+"))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            bans.append(Ban(int(found[1]), found[2], patterns))
    return tuple(bans)


def plain(text: str) -> str:
    """Lower case, accents off, everything but letters and digits a single blank."""
    bare = unicodedata.normalize("NFKD", text.casefold())
    kept = (letter for letter in bare if not unicodedata.combining(letter))
    return " ".join(re.findall(r"[^\W_]+", "".join(kept)))


def _pattern(phrase: str) -> re.Pattern[str]:
    words = phrase.strip()
    if not PHRASE.fullmatch(words):
        raise ValueError(f"{words!r} is not a phrase of letters and digits")
    ending = r"\w*" if words.endswith("*") else ""
    return re.compile(rf"\b{re.escape(plain(words))}{ending}\b")


@cache
def _built_in() -> WordList:
    text = files("retouch.service").joinpath("words.txt").read_text(encoding="utf-8")
    return WordList("built-in words", parse(text))
