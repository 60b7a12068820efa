import re
import weakref
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retouch.domain.edit import Edit, Size
from retouch.domain.errors import OutOfMemory
from retouch.domain.picture import Picture
from retouch.domain.prediction import Progress
from retouch.engine.engine import StepEngine
from retouch.engine.families.toy import ToyFamily
from retouch.engine.progress import previews_due, progress_line
from retouch.engine.scheduler import Policy
from retouch.ports import Broken, EngineEvent, Finished, Job, Memory, Previewed, Stepped
from retouch.testing import FakeClock


def job(id: str, prompt: str = "make it red", *, seed: int | None = 1, **fields) -> Job:
    return Job(id, Edit(prompt=prompt, seed=seed, **fields), ())


def run(engine: StepEngine, most: int = 100) -> list[EngineEvent]:
    """Every event until the engine is idle."""
    events: list[EngineEvent] = []
    for _ in range(most):
        if engine.idle:
            return events
        events += engine.step()
    raise AssertionError(f"still busy after {most} steps")


def make(clock: FakeClock | None = None, *, max_jobs: int = 8, **toy) -> StepEngine:
    return StepEngine(ToyFamily(**toy), clock=clock or FakeClock(), max_jobs=max_jobs)


def pictures(events: Sequence[EngineEvent]) -> dict[str, tuple[Picture, ...]]:
    return {event.id: event.pictures for event in events if isinstance(event, Finished)}


def test_a_job_reports_each_step_and_then_its_picture():
    engine = make()
    engine.add(job("a", steps=3))

    events = run(engine)

    assert events[:3] == [Stepped("a", Progress(step, 3)) for step in (1, 2, 3)]
    assert [type(event) for event in events[3:]] == [Finished]


def test_a_step_opens_one_waiting_job_and_steps_all_that_run():
    engine = make()
    engine.add(job("a"))
    engine.add(job("b"))

    assert [event.id for event in engine.step()] == ["a"]
    assert [event.id for event in engine.step()] == ["a", "b"]


def test_a_job_of_several_pictures_counts_its_seeds_up_and_finishes_once():
    together, alone = make(), make()
    together.add(job("all", seed=7, count=3))
    for number in range(3):
        alone.add(job(str(number), seed=7 + number))

    finished = pictures(run(together))
    singles = pictures(run(alone))

    assert finished == {"all": tuple(singles[str(number)][0] for number in range(3))}


def test_the_same_seed_paints_the_same_picture_and_another_seed_another():
    engine = make()
    for id, seed in (("a", 5), ("b", 5), ("c", 6)):
        engine.add(job(id, seed=seed))

    done = pictures(run(engine))

    assert done["a"] == done["b"] != done["c"]


def test_without_a_seed_one_is_drawn():
    engine = StepEngine(ToyFamily(), clock=FakeClock(), draw_seed=lambda: 1234)
    engine.add(job("a", seed=None))

    (finished,) = (event for event in run(engine) if isinstance(event, Finished))

    assert finished.logs.startswith("Using seed: 1234\n")


def test_room_shrinks_with_each_job_and_comes_back():
    engine = make(max_jobs=2)
    engine.add(job("a"))
    engine.add(job("b"))
    assert engine.room() == 0

    run(engine)

    assert engine.room() == 2
    assert engine.idle


def test_cancelling_waiting_and_running_jobs_returns_their_room_and_stays_silent():
    engine = make(max_jobs=2)
    engine.add(job("a"))
    engine.add(job("b"))
    engine.step()

    engine.cancel("a")
    engine.cancel("b")
    engine.cancel("unknown")

    assert engine.room() == 2
    assert engine.idle
    assert engine.step() == []


def test_a_cancelled_id_may_come_back():
    engine = make()
    engine.add(job("a"))
    engine.step()
    engine.cancel("a")

    engine.add(job("a"))

    assert "a" in pictures(run(engine))


def test_an_id_is_taken_once():
    engine = make()
    engine.add(job("a"))

    with pytest.raises(ValueError, match="already"):
        engine.add(job("a"))


@pytest.mark.parametrize("stage", ["open", "step", "close"])
def test_a_job_that_breaks_does_not_break_its_neighbours(stage):
    engine = make(breaks=lambda at, prompt: at == stage and prompt == "bad")
    engine.add(job("before"))
    engine.add(job("bad", "bad"))
    engine.add(job("after"))

    events = run(engine)

    broken = [event for event in events if isinstance(event, Broken)]
    assert [event.id for event in broken] == ["bad"]
    assert stage in broken[0].failure.error
    assert pictures(events).keys() == {"before", "after"}


def test_neighbours_of_a_broken_step_advance_exactly_one_step():
    engine = make(breaks=lambda at, prompt: at == "step" and prompt == "bad")
    engine.add(job("good", steps=4))
    engine.step()
    engine.add(job("bad", "bad"))

    events = engine.step()

    assert Stepped("good", Progress(2, 4)) in events


def test_a_picture_that_breaks_ends_its_whole_job_once():
    engine = make(breaks=lambda at, prompt: at == "step")
    engine.add(job("a", count=4))

    events = run(engine)

    assert [type(event) for event in events] == [Broken]
    assert engine.room() == 8


def test_an_edit_out_of_bounds_breaks_with_the_fields_name():
    engine = make()
    engine.add(job("a", steps=0))

    (event,) = run(engine)

    assert isinstance(event, Broken)
    assert event.failure.error.startswith("steps:")


def test_time_counts_from_the_opening_to_the_last_picture():
    clock = FakeClock()
    engine = make(clock, steps=4, delay_s=0.25, sleep=clock.advance)
    engine.add(job("a"))
    clock.advance(60)

    (finished,) = (event for event in run(engine) if isinstance(event, Finished))

    assert finished.metrics == {"steps": 4.0, "predict_time": pytest.approx(1.0)}


def test_logs_name_the_seed_the_weights_the_size_and_end_with_one_line_of_progress():
    clock = FakeClock()
    engine = make(clock, steps=4, delay_s=0.25, sleep=clock.advance)
    engine.add(job("a", seed=99, size=Size(96, 64)))

    (finished,) = (event for event in run(engine) if isinstance(event, Finished))

    seed, served, progress = finished.logs.splitlines()
    assert seed == "Using seed: 99"
    assert "toy" in served
    assert "96x64" in served
    assert re.match(r"^\s*(\d+)%\s*\|.+?\|\s*(\d+)\/(\d+)", progress).groups() == ("100", "4", "4")


def test_pictures_beyond_the_token_budget_wait_their_turn():
    engine = StepEngine(ToyFamily(steps=2), clock=FakeClock(), policy=Policy(token_budget=32))
    engine.add(job("a"))
    engine.add(job("b"))

    order = [event.id for event in run(engine)]

    assert order == ["a"] * 3 + ["b"] * 3


# -- previews ------------------------------------------------------------------------------------


def previews(events: Sequence[EngineEvent], id: str = "a") -> list[Picture]:
    return [event.picture for event in events if isinstance(event, Previewed) and event.id == id]


def test_previews_come_between_the_steps_and_near_the_picture():
    engine = make(steps=8)
    engine.add(job("a", previews=3))

    events = run(engine)

    final = pictures(events)["a"][0].data
    far = [sum(abs(a - b) for a, b in zip(it.data, final, strict=True)) for it in previews(events)]
    assert len(far) == 3
    assert far == sorted(far, reverse=True)
    assert far[-1] > 0


def test_nobody_who_did_not_ask_gets_previews():
    engine = make()
    engine.add(job("a"))

    assert previews(run(engine)) == []


def test_asking_for_previews_changes_no_picture():
    with_them, without = make(), make()
    with_them.add(job("a", count=2, previews=3))
    without.add(job("a", count=2))

    assert pictures(run(with_them)) == pictures(run(without))


def test_a_step_decodes_one_preview_at_most():
    engine = make(steps=8)
    for id in "abcd":
        engine.add(job(id, previews=3))

    most = 0
    while not engine.idle:
        most = max(most, sum(isinstance(event, Previewed) for event in engine.step()))

    assert most == 1


def test_a_preview_that_breaks_is_left_out_and_harms_nothing():
    engine = make(breaks=lambda at, _: at == "preview")
    engine.add(job("a", previews=3))

    events = run(engine)

    assert previews(events) == []
    assert "a" in pictures(events)


@pytest.mark.parametrize(("steps", "wanted"), [(1, 3), (2, 3), (3, 3), (28, 3), (28, 1), (4, 0)])
def test_previews_are_earned_evenly_and_never_more_than_wanted(steps, wanted):
    due = [previews_due(step, steps, wanted) for step in range(1, steps)]

    assert due == sorted(due)
    assert max(due, default=0) <= min(wanted, due[-1] if due else 0)
    assert previews_due(steps, steps, wanted) == 0


@pytest.mark.parametrize(
    ("step", "elapsed_s", "line"),
    [
        (4, 1.0, " 50%|█████     | 4/8 [00:01<00:01,  4.00it/s]"),
        (1, 0.0, " 12%|█         | 1/8 [00:00<?, ?it/s]"),
        (8, 80.0, "100%|██████████| 8/8 [01:20<00:00, 10.00s/it]"),
    ],
)
def test_progress_reads_like_tqdm(step, elapsed_s, line):
    assert progress_line(step, 8, elapsed_s) == line


# -- running out of memory -------------------------------------------------------------------------


MB = 1_000_000


class Allocator(Memory):
    """A device that counts: sessions take their share for as long as they live."""

    def __init__(self, limit: int) -> None:
        self.limit, self.taken, self.trims, self.heap_trims = limit, 0, 0, 0

    def take(self, owner: object, size: int) -> None:
        if self.taken + size > self.limit:
            raise OutOfMemory("allocation failed")
        self.taken += size
        weakref.finalize(owner, self._give_back, size)

    def check(self, transient: int) -> None:
        if self.taken + transient > self.limit:
            raise OutOfMemory("allocation failed")

    def free_bytes(self) -> int:
        return self.limit - self.taken

    def trim(self) -> None:
        self.trims += 1

    def trim_heap(self) -> None:
        self.heap_trims += 1

    def _give_back(self, size: int) -> None:
        self.taken -= size


class HungryFamily(ToyFamily):
    """Holds a megabyte for each token of an open session; a step takes as much again,
    a decoding `decodes` megabytes.

    With `tells` its plans say so beforehand.
    """

    def __init__(self, allocator: Allocator, *, decodes: int = 0, tells: bool = False) -> None:
        super().__init__(steps=3)
        self.allocator, self.decodes, self.tells = allocator, decodes, tells

    def plan(self, edit, images, seed):
        plan = super().plan(edit, images, seed)
        if not self.tells:
            return plan
        return replace(plan, held_bytes=plan.tokens * MB, peak_bytes=plan.tokens * MB)

    def open(self, plan, edit, images):
        session = HungrySession(super().open(plan, edit, images))
        self.allocator.take(session, plan.tokens * MB)
        return session

    def step(self, sessions):
        self.allocator.check(sum(session.toy.plan.tokens for session in sessions) * MB)
        super().step([session.toy for session in sessions])

    def step_index(self, session):
        return session.toy.index

    def close(self, session):
        self.allocator.check(self.decodes * MB)
        return super().close(session.toy)


class HungrySession:
    def __init__(self, toy) -> None:
        self.toy = toy


def sized(id: str, tokens: int) -> Job:
    """A job that takes so many tokens (more than the toy's 16 for the text)."""
    return job(id, size=Size(16, 16 * (tokens - 16)))


def hungry(limit: int, **more) -> tuple[StepEngine, Allocator]:
    allocator = Allocator(limit * MB)
    family = HungryFamily(allocator, **more)
    policy = Policy(memory_bytes=limit * MB if family.tells else None)
    return StepEngine(family, clock=FakeClock(), memory=allocator, policy=policy), allocator


def test_what_fits_one_after_the_other_is_all_done_and_the_memory_returned():
    engine, allocator = hungry(100)
    for id in "abc":
        engine.add(sized(id, 40))

    events = run(engine)

    assert pictures(events).keys() == set("abc")
    assert allocator.taken == 0
    assert allocator.trims > 0


def test_what_fits_nowhere_fails_alone_says_what_would_help_and_returns_its_memory():
    engine, allocator = hungry(100)
    engine.add(sized("small", 20))
    engine.add(sized("huge", 60))

    events = run(engine)

    (broken,) = (event for event in events if isinstance(event, Broken))
    assert broken.id == "huge"
    assert "A size below 16x704 would help" in broken.failure.error
    assert pictures(events).keys() == {"small"}
    assert allocator.taken == 0


def test_a_picture_that_runs_out_of_memory_in_company_starts_over_alone_and_is_the_same():
    engine, _ = hungry(100)
    calm = make(steps=3)
    for id in "ab":
        engine.add(sized(id, 40))
        calm.add(sized(id, 40))

    assert pictures(run(engine)) == pictures(run(calm))


def test_progress_never_runs_backwards_when_a_picture_starts_over():
    engine, _ = hungry(100)
    for id in "ab":
        engine.add(sized(id, 40))

    steps = [event for event in run(engine) if isinstance(event, Stepped)]

    for id in "ab":
        told = [event.progress.step for event in steps if event.id == id]
        assert told == sorted(set(told)) == [1, 2, 3]


def test_a_decoding_that_does_not_fit_fails_its_own_job():
    engine, allocator = hungry(100, decodes=200)
    engine.add(sized("a", 20))

    (broken,) = (event for event in run(engine) if isinstance(event, Broken))

    assert "does not fit into the device's memory" in broken.failure.error
    assert allocator.taken == 0


def test_estimates_keep_the_device_from_ever_running_out():
    engine, allocator = hungry(100, tells=True)
    for number in range(6):
        engine.add(sized(f"job{number}", 20 + 5 * number))

    events = run(engine)

    assert len(pictures(events)) == 6
    assert allocator.trims == 0
    assert allocator.heap_trims == 6


def test_an_edit_that_can_never_fit_is_refused_before_anything_is_allocated():
    engine, allocator = hungry(100, tells=True)
    engine.add(sized("huge", 60))

    (broken,) = engine.step()

    assert isinstance(broken, Broken)
    assert "it needs about 120 MB, 100 MB are to be had" in broken.failure.error
    assert allocator.trims == 0


# -- pausing, and any order of events --------------------------------------------------------------


def test_short_work_pauses_long_work_which_then_goes_on_where_it_was():
    clock = FakeClock()
    engine = StepEngine(
        ToyFamily(delay_s=1, sleep=clock.advance), clock=clock, policy=Policy(token_budget=1)
    )
    engine.add(job("long", steps=9))
    engine.step()
    engine.add(job("short", steps=2))

    order = [event.id for event in run(engine) if not isinstance(event, Finished)]

    assert order == ["short"] * 2 + ["long"] * 8


def test_the_next_passes_length_is_expected_from_those_before():
    clock = FakeClock()
    engine = StepEngine(ToyFamily(delay_s=2, sleep=clock.advance), clock=clock)
    engine.add(job("a"))
    assert engine.expected_s() is None

    engine.step()

    assert engine.expected_s() == pytest.approx(2)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("asc"), st.integers(0, 5)), max_size=60))
def test_every_job_ends_once_or_was_cancelled_and_cancelled_ones_are_silent(orders):
    engine = StepEngine(ToyFamily(), clock=FakeClock(), policy=Policy(token_budget=70))
    live, ended, cancelled = set(), [], set()
    for number, (verb, which) in enumerate(orders):
        id = f"job{number}"
        if verb == "a" and engine.room():
            engine.add(job(id, steps=which, count=1 + which % 3))
            live.add(id)
        elif verb == "c" and live:
            gone = sorted(live)[which % len(live)]
            engine.cancel(gone)
            live.discard(gone)
            cancelled.add(gone)
        else:
            events = engine.step()
            assert cancelled.isdisjoint(event.id for event in events)
            over = [event.id for event in events if not isinstance(event, Stepped)]
            ended += over
            live -= set(over)
        assert engine.room() == 8 - len(live)

    ended += [event.id for event in run(engine, 500) if not isinstance(event, Stepped)]

    assert sorted(ended) == sorted(set(ended))
    assert live <= set(ended)
    assert cancelled.isdisjoint(ended)
