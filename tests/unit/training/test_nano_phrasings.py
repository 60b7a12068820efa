"""The vocabulary's words: complete, and the held-out phrasings really unseen."""

from __future__ import annotations

import random

import pytest

from training.nano.frames import FRAMES, SAID, framed, gerund
from training.nano.phrasings import (
    ARRANGEMENTS,
    EXAMPLES,
    HELD_OUT,
    HELD_OUT_COMPOSITIONS,
    HELD_OUT_JOINERS,
    JOINERS,
    LOOK_WORDS,
    PATTERNS,
    composed_corpus,
    corpus,
    covers,
    expand,
    held_out_compositions,
    noisy,
    plain,
    spelt,
)
from training.nano.typed import TYPED, TYPED_COMPOSITIONS


def test_every_edit_has_patterns_an_example_and_six_held_out_phrasings() -> None:
    assert list(PATTERNS) == list(HELD_OUT) == list(EXAMPLES)
    assert min(len(texts) for texts in HELD_OUT.values()) >= 6


@pytest.mark.parametrize("name", PATTERNS)
def test_no_pattern_of_any_edit_can_produce_a_held_out_phrasing(name: str) -> None:
    texts = (*HELD_OUT[name], *TYPED.get(name, ()))
    seen = [(text, other) for text in texts for other in PATTERNS if covers(other, text)]

    assert seen == []


def test_the_corpus_is_disjoint_from_the_held_out_phrasings() -> None:
    held_out = {
        plain(text) for held in (HELD_OUT, TYPED) for texts in held.values() for text in texts
    }

    assert held_out.isdisjoint(plain(text) for _, text in corpus(60))


def test_what_people_type_is_written_for_every_edit_and_every_part_of_a_composition() -> None:
    looks, arrangements = zip(*(name.split(" + ") for name in TYPED_COMPOSITIONS), strict=True)

    assert set(TYPED) == set(SAID) == {*LOOK_WORDS, *ARRANGEMENTS}
    assert {len(texts) for texts in TYPED.values()} == {8}
    assert {len(texts) for texts in TYPED_COMPOSITIONS.values()} == {2}
    assert {looks.count(name) for name in LOOK_WORDS} == {3}
    assert {arrangements.count(name) for name in ARRANGEMENTS} == {6, 7}


@pytest.mark.parametrize("name", SAID)
def test_a_framed_phrasing_is_told_in_plain_words(name: str) -> None:
    rng = random.Random(5)  # noqa: S311  repeatable draws

    for _ in range(200):
        text = expand(framed(name, rng), rng)
        assert text
        assert not set(text) & set("{}[]|~^"), text


def test_every_frame_has_a_gap_of_its_kind() -> None:
    gaps = {"do": ("{do}", "{doing}"), "be": ("{be}",), "thing": ("{thing}",), "bad": ("{bad}",)}

    for kind, frames in FRAMES.items():
        for frame in frames:
            assert any(gap in frame for gap in gaps[kind]), frame


@pytest.mark.parametrize(
    ("phrase", "participle"),
    [
        ("flip {it}", "flipping {it}"),
        ("[turn up|raise] the light", "[turning up|raising] the light"),
        ("dye {it} red", "dyeing {it} red"),
    ],
)
def test_a_phrase_becomes_a_participle(phrase: str, participle: str) -> None:
    assert gerund(phrase) == participle


def test_both_spellings_occur() -> None:
    rng = random.Random(6)  # noqa: S311  repeatable draws

    assert {spelt("colour", rng) for _ in range(20)} == {"colour", "color"}


def test_covers_recognises_what_expand_makes() -> None:
    rng = random.Random(2)  # noqa: S311  repeatable draws

    for name, patterns in PATTERNS.items():
        for pattern in patterns:
            assert covers(name, expand(pattern, rng)), pattern


def test_compositions_are_held_out_with_texts_and_joiners_of_their_own() -> None:
    names = {f"{look} + {arrangement}" for look in LOOK_WORDS for arrangement in ARRANGEMENTS}
    pairs = composed_corpus(20, seed=9)
    trained = {plain(text) for _, text in pairs}
    typed = {plain(text) for texts in TYPED_COMPOSITIONS.values() for text in texts}

    assert {name for name, _ in pairs} == names
    assert set(TYPED_COMPOSITIONS) <= names
    assert trained.isdisjoint(typed)
    assert set(HELD_OUT_COMPOSITIONS) <= names
    assert set(HELD_OUT_JOINERS).isdisjoint(JOINERS)
    for name in names:
        texts = {plain(text) for text in held_out_compositions(name)}
        assert len(texts) >= 2
        assert trained.isdisjoint(texts)


def test_a_composition_is_told_in_plain_words() -> None:
    for _, text in composed_corpus(20, seed=3):
        assert not set(text) & set("{}[]|"), text


def test_slips_leave_a_text_behind() -> None:
    rng = random.Random(4)  # noqa: S311  repeatable draws

    assert all(noisy("make it black and white", rng, rate=1.0) for _ in range(50))
