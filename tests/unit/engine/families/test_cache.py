"""Encoded instructions and pictures are made once, within a bound in bytes."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import torch

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine import families
from retouch.engine.engine import StepEngine
from retouch.engine.families import WeightsError, load_ahead, load_behind, load_family
from retouch.engine.families.cache import TensorCache
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint
from retouch.ports import Finished, Job
from retouch.testing import FakeClock

TINY = {"name": "tiny", "max_sequence_length": 24, "area": 64 * 64, "steps": 2}


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
    is_same = torch.equal(first.requests[0].text, second.requests[0].text) and torch.equal(
        first.requests[0].references, second.requests[0].references
    )
    assert is_same is (not encoded)


def test_without_room_nothing_is_kept(weights):
    family = load_family(weights, cache_bytes=0)

    family.open(family.plan(Edit(prompt="red"), [], 1), Edit(prompt="red"), [])

    assert family._cache.size_bytes == 0


def test_who_asks_for_what_is_kept_does_not_wait_for_what_is_made():
    cache = TensorCache(100)
    cache.of("kept", lambda: tensors(1))
    is_making, may_end = Event(), Event()

    def slow():
        is_making.set()
        assert may_end.wait(60)
        return tensors(2)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(cache.of, "new", slow)
        assert is_making.wait(60)
        (kept,) = cache.of("kept", lambda: pytest.fail("it is kept"))
        second = threads.submit(cache.of, "new", lambda: pytest.fail("it is made already"))
        may_end.set()

        assert len(kept) == 1
        assert first.result(10) is second.result(10)


def test_what_a_device_still_makes_is_found_by_nobody(monkeypatch):
    cache, seen = TensorCache(100), []

    class Stream:
        """Done when it is waited for."""

        def synchronize(self):
            seen.append(cache._find("a"))

    class OnDevice:
        is_cuda, device = True, "cuda:0"

        def untyped_storage(self):
            return torch.UntypedStorage(1)

        def record_stream(self, stream):
            seen.append(stream)

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: "steps")

    made = cache.of("a", lambda: (OnDevice(),))

    assert seen == [None, "steps"]
    assert cache._find("a") is made


@pytest.mark.parametrize("kind", ["flux1", "flux2"])
def test_what_was_warmed_is_opened_without_an_encoder(weights, tmp_path, monkeypatch, kind):
    folder = weights
    if kind == "flux2":
        folder = write_flux2_checkpoint(tmp_path, is_distilled=True, recipe=TINY)
    family, other = load_family(folder), load_family(folder)
    edit = Edit(prompt="red", seed=1)
    plan = family.plan(edit, [Size(64, 64)], 1)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(family.warm, plan, edit, [photo(1)]).result()
    monkeypatch.setattr(family._parts.vae, "encode", None)
    monkeypatch.setattr(family, "_text", None)

    session = family.open(plan, edit, [photo(1)])

    cold = other.open(plan, edit, [photo(1)])
    for _ in range(plan.steps):
        family.step([session])
        other.step([cold])
    assert torch.equal(session.latents, cold.latents)


def test_pictures_are_the_same_with_threads_ahead_and_behind(weights, monkeypatch):
    made, warmed, decoded = [], [], []
    for choice in ("off", "on"):
        family = load_family(weights, dtype="bfloat16")
        warm = family.warm
        monkeypatch.setattr(family, "warm", lambda *job, do=warm: do(*job) or warmed.append(job))
        close = family.close_beside
        monkeypatch.setattr(
            family, "close_beside", lambda it, do=close: decoded.append(it) or do(it)
        )
        ahead = load_ahead(family, choice, device="cpu")
        behind = load_behind(family, choice, device="cpu")
        engine = StepEngine(family, clock=FakeClock(), ahead=ahead, behind=behind)
        for number in range(4):
            edit = Edit(prompt=f"red {number}", seed=number, steps=2 + number)
            engine.add(Job(str(number), edit, (photo(number),)))
        events = []
        while not engine.idle:
            events += engine.step()
        made.append({e.id: e.pictures for e in events if isinstance(e, Finished)})

    assert (len(made[0]), len(warmed)) == (4, 3)  # the first had nobody to wait for
    assert len(decoded) == 3  # and who is last has nobody to let step
    assert made[0] == made[1]


def test_the_toy_has_none_beside_and_asks_no_device_which_would_take_torch(monkeypatch):
    monkeypatch.setattr(families, "_is_cuda", lambda device: pytest.fail("torch is not wanted"))
    for choice in ("auto", "on", "off"):
        assert load_ahead(load_family("toy"), choice, device="auto") is None
        assert load_behind(load_family("toy"), choice, device="auto") is None


def test_threads_beside_are_for_devices_that_leave_the_processor_idle(weights):
    family = load_family(weights)

    assert load_behind(family, device="cpu") is None
    assert load_behind(family, device="cuda:0") is not None
    assert load_behind(family, "on", device="cpu") is not None
    assert load_behind(family, "on", device="cuda", offload="model") is None

    assert load_ahead(family, device="cpu") is None
    assert load_ahead(family, device="cuda:0") is not None
    assert load_ahead(family, "off", device="cuda") is None
    assert load_ahead(family, "on", device="cpu") is not None
    assert load_ahead(family, "on", device="cuda", offload="model") is None
    assert load_ahead(family, "on", device="cpu", cache_bytes=0) is None
    with pytest.raises(WeightsError, match="open_ahead is 'maybe'; known: auto, on, off"):
        load_ahead(family, "maybe", device="cpu")
