"""Pictures made ready beside the steps of others: nobody waits for them, nothing else changes."""

from dataclasses import replace

from hypothesis import given

from retouch.engine.ahead import Ahead
from retouch.engine.engine import StepEngine
from retouch.engine.families.toy import ToyFamily
from retouch.engine.scheduler import Policy
from retouch.ports import Finished, Stepped
from retouch.testing import FakeClock
from tests.unit.engine.hands import JOBS, Hands, job, pictures_by_job


def make(warm=lambda *_: None, family=None, **engine):
    hands = Hands()
    ahead = Ahead(warm, hands)
    return StepEngine(family or ToyFamily(), clock=FakeClock(), ahead=ahead, **engine), hands


def stepped(events):
    return [event.id for event in events if isinstance(event, Stepped)]


def test_who_is_not_ready_lets_the_others_step():
    warmed = []
    engine, hands = make(lambda plan, edit, images: warmed.append(edit.prompt))
    engine.add(job("a"))
    engine.step()
    engine.add(job("b"))

    assert stepped(engine.step()) == ["a"]
    assert stepped(engine.step()) == ["a"]
    hands.do_all()

    assert sorted(stepped(engine.step())) == ["a", "b"]
    assert warmed == ["b"]


def test_alone_a_job_is_opened_at_once():
    engine, hands = make()
    engine.add(job("a"))

    assert stepped(engine.step()) == ["a"]
    assert hands.given == []


def test_one_that_is_ready_passes_one_that_is_not():
    engine, hands = make()
    engine.add(job("a"))
    engine.step()
    engine.add(job("short", steps=1))
    engine.add(job("b"))
    engine.step()
    hands.given[1].do()

    assert sorted(stepped(engine.step())) == ["a", "b"]


def test_with_nothing_else_to_step_it_waits():
    engine, hands = make()
    engine.add(job("a", steps=2))
    engine.step()
    engine.add(job("b"))
    engine.step()
    assert not hands.given[0].done()

    assert stepped(engine.step()) == ["b"]
    assert hands.given[0].done()


def test_a_cancelled_job_is_not_made_ready():
    engine, hands = make()
    engine.add(job("a"))
    engine.step()
    engine.add(job("b"))
    engine.step()

    engine.cancel("b")
    hands.do_all()

    assert hands.given[0].cancelled()
    assert stepped(engine.step()) == ["a"]
    engine.add(job("b"))
    engine.step()
    assert len(hands.given) == 2


def test_what_fails_ahead_is_told_by_opening_it(capsys):
    def fails(*_):
        raise ValueError("out of ink")

    engine, hands = make(fails)
    engine.add(job("a"))
    engine.step()
    engine.add(job("b"))
    engine.step()
    hands.do_all()

    events = [event for _ in range(5) for event in engine.step()]

    assert [event.id for event in events if isinstance(event, Finished)] == ["a", "b"]
    told = capsys.readouterr().out
    assert "engine.ahead_failed" in told
    assert "ValueError: out of ink" in told


class Heavy(ToyFamily):
    """Every picture holds a byte and takes ten more."""

    def plan(self, edit, images, seed):
        return replace(super().plan(edit, images, seed), held_bytes=1, peak_bytes=10)


def test_nothing_is_made_ready_without_memory_for_it():
    for memory_bytes, begun in ((20, 0), (21, 1)):
        engine, hands = make(family=Heavy(), policy=Policy(memory_bytes=memory_bytes))
        engine.add(job("a"))
        engine.step()
        engine.add(job("b"))
        engine.step()

        assert len(hands.given) == begun


@given(JOBS)
def test_whatever_is_ready_when_every_job_ends_as_it_would_without(jobs):
    plain = pictures_by_job(StepEngine(ToyFamily(), clock=FakeClock()), Hands(), jobs)

    assert pictures_by_job(*make(), jobs) == plain
    assert len(plain) == len(jobs)
