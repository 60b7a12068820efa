import pytest

from retouch.engine.scheduler import Schedule, Turn, group


def turns(*tokens: int) -> tuple[Turn, ...]:
    return tuple(Turn(f"job{number}", 0, count) for number, count in enumerate(tokens))


def test_a_group_takes_the_oldest_first_and_all_that_fit():
    running = turns(40, 30, 30, 10)

    chosen = group(running, token_budget=100)

    assert chosen == running[:3]


def test_a_turn_over_the_budget_steps_alone_when_it_is_the_oldest():
    running = turns(500, 10)

    assert group(running, token_budget=100) == running[:1]


def test_a_small_turn_may_pass_one_that_does_not_fit():
    running = turns(60, 80, 40)

    assert group(running, token_budget=100) == (running[0], running[2])


def test_nobody_starves_behind_a_stream_of_small_turns():
    schedule = Schedule(running=(Turn("small", 0, 10), Turn("large", 0, 100)))
    served = []

    for number in range(3):
        chosen = group(schedule.running, token_budget=100)
        served += [turn.job for turn in chosen]
        schedule = schedule.finish(chosen).wait(f"new{number}").open(f"new{number}", [10])

    assert "large" in served


def test_nothing_running_makes_an_empty_group():
    assert group((), token_budget=100) == ()


def test_a_job_waits_runs_one_turn_per_picture_and_is_done_with_its_last():
    schedule = Schedule().wait("a").wait("b").open("a", [10, 10])

    assert schedule.waiting == ("b",)
    assert schedule.jobs == ("a", "b")
    assert schedule.finish(schedule.running[:1]).jobs == ("a", "b")
    assert schedule.finish(schedule.running).jobs == ("b",)


def test_dropping_a_job_takes_it_from_wherever_it_is():
    schedule = Schedule().wait("a").wait("b").wait("c").open("a", [10, 10])

    assert schedule.drop("a") == Schedule(waiting=("b", "c"))
    assert schedule.drop("b").jobs == ("a", "c")
    assert schedule.drop("unknown") == schedule


@pytest.mark.parametrize("opened", [False, True])
def test_a_job_is_taken_once(opened):
    schedule = Schedule().wait("a")
    if opened:
        schedule = schedule.open("a", [10])

    with pytest.raises(ValueError, match="already in the engine"):
        schedule.wait("a")
