"""The list of words: what it refuses, at which tolerance, and how it is written."""

from pathlib import Path

import pytest

from retouch.service.words import WordList, parse, plain

BUILT_IN = WordList.built_in()


@pytest.mark.parametrize(
    ("prompt", "refused_up_to"),
    [
        ("make her nude", 2),
        ("NUDE, please", 2),
        ("a n\u00fade", 2),
        ("a_nude_statue", 2),
        ("a gory battle", 1),
        ("blood on the floor", 0),
        ("undress her", 5),
        ("child, nude", 6),
        ("a naked toddler", 6),
        ("make it black and white", -1),
        ("a bloodhound in Scunthorpe", -1),
        ("a child with a kite", -1),
        ("denude the hill", -1),
    ],
)
def test_each_prompt_is_refused_up_to_its_tolerance(prompt: str, refused_up_to: int) -> None:
    refused = [level for level in range(7) if BUILT_IN.judge(prompt, level)]

    assert refused == list(range(refused_up_to + 1))


def test_the_reason_is_the_kind_of_the_rule() -> None:
    assert BUILT_IN.judge("child porn", 6) == "sexual content with minors"


def test_a_list_of_ones_own_replaces_it(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# ours\n3 rivals: acme corp, umbrella* + logo\n")

    words = WordList.read(tmp_path / "list")

    assert words.judge("the ACME-Corp sign", 3) == "rivals"
    assert words.judge("a logo on umbrellas", 0) == "rivals"
    assert words.judge("an umbrella", 0) is None
    assert words.judge("the acme corp sign", 4) is None
    assert words.judge("nude", 0) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x", "line 1: expected"),
        ("\n7 x: y", "line 2: expected"),
        ("2 x: (", r"line 1: '\(' is not a phrase"),
        ("2 x: a, , b", "line 1: '' is not a phrase"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)


def test_plain_text_is_letters_digits_and_single_blanks() -> None:
    assert plain(" \u00c9t\u00e9-- N\u00b01_x ") == "ete n 1 x"
