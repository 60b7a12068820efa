"""Encoded instructions and pictures are made once, within a bound in bytes."""

import pytest
import torch

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.families import load_family
from retouch.engine.families.cache import TensorCache


def tensors(count: int) -> tuple[torch.Tensor, ...]:
    return (torch.zeros(count, dtype=torch.uint8),)


def test_the_least_recently_used_goes_first():
    cache = TensorCache(100)
    for key in "abab":
        cache.of(key, lambda: tensors(50))
    cache.of("a", lambda: pytest.fail("a is kept"))

    cache.of("c", lambda: tensors(50))

    made = []
    cache.of("a", lambda: pytest.fail("a was used after b"))
    cache.of("b", lambda: made.append("b") or tensors(50))
    assert made == ["b"]
    assert cache.size_bytes == 100


def test_what_is_larger_than_the_bound_is_made_but_not_kept():
    cache = TensorCache(10)
    cache.of("small", lambda: tensors(10))

    (large,) = cache.of("large", lambda: tensors(11))

    assert (len(large), cache.size_bytes) == (11, 0)


def test_nothing_is_kept_of_what_failed():
    cache = TensorCache(100)

    def fail():
        raise MemoryError

    with pytest.raises(MemoryError):
        cache.of("a", fail)

    assert cache.size_bytes == 0
    assert len(cache.of("a", lambda: tensors(1))[0]) == 1


def test_a_view_counts_with_all_it_holds_on_to():
    cache = TensorCache(100)

    cache.of("a", lambda: (torch.zeros(80, dtype=torch.uint8)[:4],))

    assert cache.size_bytes == 80


def photo(shade: int) -> Picture:
    return Picture(64, 64, bytes([shade]) * (64 * 64 * 3))


@pytest.mark.parametrize(
    ("prompt", "shade", "encoded"),
    [("red", 1, []), ("blue", 1, ["text"]), ("red", 2, ["photo"])],
    ids=["the same again", "another prompt", "another photo"],
)
def test_a_family_encodes_only_what_is_new(weights, monkeypatch, prompt, shade, encoded):
    family = load_family(weights)
    edit, plan = Edit(prompt="red"), family.plan(Edit(prompt="red"), [Size(64, 64)], 1)
    first = family.open(plan, edit, [photo(1)])
    seen = []
    for name, owner, verb in (
        ("text", family._parts.t5, "forward"),
        ("photo", family._parts.vae, "encode"),
    ):
        true = getattr(owner, verb)
        monkeypatch.setattr(
            owner,
            verb,
            lambda *a, _name=name, _true=true, **k: seen.append(_name) or _true(*a, **k),
        )

    second = family.open(plan, Edit(prompt=prompt), [photo(shade)])

    assert seen == encoded
    is_same = torch.equal(first.request.text, second.request.text) and torch.equal(
        first.request.references, second.request.references
    )
    assert is_same is (not encoded)


def test_without_room_nothing_is_kept(weights):
    family = load_family(weights, cache_bytes=0)

    family.open(family.plan(Edit(prompt="red"), [], 1), Edit(prompt="red"), [])

    assert family._cache.size_bytes == 0
