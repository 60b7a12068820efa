"""Finished pictures decoded beside the steps of others: these go on, nothing else changes."""

from dataclasses import replace

import pytest
from hypothesis import given

from retouch.domain.errors import EngineFailed, OutOfMemory
from retouch.engine.behind import Behind
from retouch.engine.engine import StepEngine
from retouch.engine.families.toy import ToyFamily
from retouch.engine.scheduler import Policy
from retouch.ports import Broken, Finished, Stepped
from retouch.testing import FakeClock
from tests.unit.engine.hands import JOBS, Hands, job, pictures_by_job


def make(family=None, decode=None, **engine):
    hands, family = Hands(), family or ToyFamily()
    behind = Behind(decode or family.close, hands)
    return StepEngine(family, clock=FakeClock(), behind=behind, **engine), hands


def two(engine) -> None:
    """One with a step left beside a longer one."""
    engine.add(job("long", steps=9))
    engine.step()
    engine.add(job("short", steps=1))


def of(kind, events):
    return [event.id for event in events if isinstance(event, kind)]


def test_others_step_while_a_picture_is_decoded():
    engine, hands = make()
    two(engine)

    events = engine.step() + engine.step()
    assert of(Stepped, events) == ["short", "long", "long"]
    assert of(Finished, events) == []
    hands.do_all()

    assert of(Finished, engine.step()) == ["short"]


def test_alone_a_picture_is_decoded_at_once():
    engine, hands = make()
    engine.add(job("a", steps=1))

    assert of(Finished, engine.step()) == ["a"]
    assert hands.given == []


def test_with_nothing_else_to_step_it_waits():
    engine, hands = make()
    two(engine)
    engine.step()
    engine.cancel("long")
    assert not hands.given[0].done()

    assert of(Finished, engine.step()) == ["short"]
    assert engine.idle


def test_a_decoding_that_fails_breaks_its_own_job():
    def fails(session):
        raise EngineFailed("out of ink")

    engine, hands = make(decode=fails)
    two(engine)
    engine.step()
    hands.do_all()

    events = engine.step()

    assert [(e.id, e.failure.error) for e in events if isinstance(e, Broken)] == [
        ("short", "out of ink")
    ]
    assert of(Stepped, events) == ["long"]


def test_one_that_ran_out_of_memory_is_decoded_again_between_two_steps():
    def has_no_room(session):
        raise OutOfMemory("no room")

    engine, hands = make(decode=has_no_room)
    two(engine)
    engine.step()
    hands.do_all()

    assert of(Finished, engine.step()) == ["short"]


def test_what_is_no_fault_of_an_edit_ends_the_worker():
    def is_lost(session):
        raise RuntimeError("the device is lost")

    engine, hands = make(decode=is_lost)
    two(engine)
    engine.step()
    hands.do_all()

    with pytest.raises(RuntimeError, match="the device is lost"):
        engine.step()


def test_a_cancelled_picture_is_not_decoded():
    engine, hands = make()
    two(engine)
    engine.step()

    engine.cancel("short")
    hands.do_all()

    assert hands.given[0].cancelled()
    assert of(Finished, engine.step()) == []
    assert engine.room() == 7


def test_cancelling_waits_for_a_decoding_under_way_whose_memory_is_not_free_before():
    engine, hands = make()
    two(engine)
    engine.step()
    (work,) = hands.given
    work.set_running_or_notify_cancel()
    work.set_result(None)  # what a thread would do meanwhile

    engine.cancel("short")

    assert not work.cancelled()
    assert of(Finished, engine.step()) == []


class Heavy(ToyFamily):
    """Every picture holds a byte and takes ten more."""

    def plan(self, edit, images, seed):
        return replace(super().plan(edit, images, seed), held_bytes=1, peak_bytes=10)


@pytest.mark.parametrize(("memory_bytes", "decoded_beside"), [(21, 0), (22, 1)])
def test_without_memory_for_both_a_picture_is_decoded_between_two_steps(
    memory_bytes, decoded_beside
):
    engine, hands = make(Heavy(), policy=Policy(memory_bytes=memory_bytes))
    two(engine)

    events = engine.step()

    assert len(hands.given) == decoded_beside
    assert len(of(Finished, events)) == 1 - decoded_beside


def test_nothing_is_opened_in_the_memory_of_a_decoding():
    engine, hands = make(Heavy(), policy=Policy(memory_bytes=22))
    two(engine)
    engine.step()
    engine.add(job("new", steps=1))

    assert of(Stepped, engine.step()) == ["long"]
    hands.do_all()
    engine.step()

    assert "new" in of(Stepped, engine.step())


@given(JOBS)
def test_whenever_it_is_decoded_every_job_ends_as_it_would_without(jobs):
    plain = pictures_by_job(StepEngine(ToyFamily(), clock=FakeClock()), Hands(), jobs)

    assert pictures_by_job(*make(), jobs) == plain
    assert len(plain) == len(jobs)
