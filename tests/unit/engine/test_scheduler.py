"""The scheduler's promises: a few by example, the rest over arrivals that Hypothesis invents."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retouch.engine.scheduler import Entry, Policy, Schedule, Tick, Turn, order, tick


def entry(
    id: str, *, tokens: int = 10, cost: float = 1.0, left: int = 4, pictures: int = 1, **fields
) -> Entry:
    turn = {
        name: fields.pop(name)
        for name in ("is_open", "is_alone", "held_bytes", "peak_bytes")
        if name in fields
    }
    turns = tuple(
        Turn(job=id, number=number, tokens=tokens, cost=cost, left=left, **turn)
        for number in range(pictures)
    )
    return Entry(id=id, turns=turns, **fields)


def decide(*entries: Entry, policy: Policy | None = None, now: float = 0.0) -> Tick:
    return tick(Schedule(entries), policy or Policy(), now=now, pace_s=1.0)


def names(turns) -> list[str]:
    return [turn.job for turn in turns]


def ranked(*entries: Entry, policy: Policy | None = None, now: float = 0.0) -> list[str]:
    return [it.id for _, it in order(entries, policy or Policy(), now=now, pace_s=1.0)]


# -- who goes first --------------------------------------------------------------------------------


def test_the_shortest_remaining_work_goes_first():
    assert ranked(entry("long", left=9), entry("short", left=2)) == ["short", "long"]


def test_work_is_cost_times_steps_over_all_pictures():
    several = entry("several", cost=1, left=4, pictures=3)

    assert ranked(several, entry("costly", cost=5, left=2)) == ["costly", "several"]


def test_who_has_waited_its_patience_is_passed_no_more():
    policy = Policy(patience=3)
    old = entry("old", left=10, arrived_at=0)

    assert ranked(old, entry("soon", left=1, arrived_at=26), policy=policy)[0] == "soon"
    assert ranked(old, entry("late", left=1, arrived_at=31), policy=policy)[0] == "old"


def test_priority_is_worth_seconds_of_waiting():
    low = entry("low", priority=-1)

    assert ranked(low, entry("normal", arrived_at=59)) == ["normal", "low"]
    assert ranked(low, entry("normal", arrived_at=61)) == ["low", "normal"]


def test_a_deadline_that_can_be_kept_moves_a_job_ahead_and_one_that_cannot_does_not():
    short = entry("short", left=2)

    assert ranked(short, entry("due", left=8, deadline=12))[0] == "due"
    assert ranked(short, entry("due", left=8, deadline=7))[0] == "short"


def test_an_owner_with_many_jobs_gets_no_more_than_one_with_few():
    many = [entry(f"many{number}", owner="many", arrived_at=number / 10) for number in range(4)]
    few = entry("few", owner="few", arrived_at=1)

    assert ranked(*many, few)[:2] == ["many0", "few"]


def test_before_a_pass_was_timed_the_oldest_goes_first():
    entries = (entry("old", left=9), entry("new", left=1, arrived_at=1))

    (_, first), _ = order(entries, Policy(), now=2, pace_s=0)

    assert first.id == "old"


# -- who is overdue gives way ----------------------------------------------------------------------

TIGHT = Policy(token_budget=10, patience=1, yields=2)


def passes(*entries: Entry, count: int) -> list[str]:
    """Who steps in so many ticks in a row, none of which changes the jobs."""
    schedule, stepped = Schedule(entries), []
    for _ in range(count):
        decided = tick(schedule, TIGHT, now=100.0, pace_s=1.0)
        schedule = replace(schedule, yielded=decided.yielded)
        stepped += names(decided.steps)
    return stepped


def test_one_that_is_overdue_leaves_two_passes_of_three_to_shorter_work():
    large = entry("large", left=9, is_open=True)

    turns = passes(large, entry("small", left=1, arrived_at=100, is_open=True), count=6)

    assert turns == ["small", "small", "large"] * 2


@pytest.mark.parametrize(
    "large",
    [
        entry("large", left=9, is_open=False),
        entry("large", left=9, is_open=True, deadline=112),
        entry("large", left=9, is_open=True, priority=1),
    ],
    ids=["which is not open yet", "which has a deadline", "which has priority"],
)
def test_one_that_is_overdue_gives_no_way(large: Entry):
    small = entry("small", left=1, arrived_at=100, is_open=True)

    assert passes(large, small, count=3) == ["large"] * 3


# -- who shares a pass -----------------------------------------------------------------------------


def test_a_pass_carries_every_turn_that_still_fits():
    entries = [
        entry(id, tokens=tokens, left=left, is_open=True)
        for id, tokens, left in (("a", 40, 1), ("b", 30, 2), ("c", 80, 3), ("d", 20, 4))
    ]

    chosen = decide(*entries, policy=Policy(token_budget=100))

    assert names(chosen.steps) == ["a", "b", "d"]


def test_small_work_rides_with_large_but_does_not_wait_for_it():
    large = entry("large", cost=9, left=9, is_open=True)
    small = entry("small", cost=1, left=1, is_open=True)

    assert names(decide(replace(large, priority=9), small).steps) == ["large", "small"]
    assert names(decide(large, small).steps) == ["small"]


def test_a_turn_over_the_budget_steps_alone_when_it_is_first():
    entries = (entry("huge", tokens=500, left=1, is_open=True), entry("small", is_open=True))

    assert names(decide(*entries, policy=Policy(token_budget=100)).steps) == ["huge"]


def test_a_running_turn_is_paused_for_shorter_work():
    running = entry("running", left=9, is_open=True)

    chosen = decide(running, entry("short", left=1), policy=Policy(token_budget=10))

    assert chosen == Tick(chosen.opens, (chosen.opens,))
    assert names(chosen.steps) == ["short"]


def test_one_picture_is_opened_at_a_time():
    chosen = decide(entry("a", pictures=3), entry("b"))

    assert len(chosen.steps) == 1


# -- memory ----------------------------------------------------------------------------------------


def test_what_does_not_fit_beside_the_open_ones_waits_and_holds_those_behind_it_back():
    policy = Policy(memory_bytes=100)
    running = entry("running", left=1, held_bytes=60, peak_bytes=10, is_open=True)
    large = entry("large", left=2, held_bytes=50, peak_bytes=10)
    small = entry("small", left=3, held_bytes=5)

    assert decide(running, large, small, policy=policy).opens is None
    assert names(decide(large, small, policy=policy).steps) == ["large"]


def test_opening_leaves_room_for_the_peak_of_a_paused_turn():
    policy = Policy(memory_bytes=100, token_budget=10)
    paused = entry("paused", left=9, held_bytes=10, peak_bytes=60, is_open=True)

    assert decide(paused, entry("new", left=1, held_bytes=40), policy=policy).opens is None
    assert decide(paused, entry("new", left=1, held_bytes=30), policy=policy).opens is not None


def test_the_peaks_of_a_pass_fit_together():
    policy = Policy(memory_bytes=100)
    entries = [entry(id, held_bytes=10, peak_bytes=45, is_open=True) for id in "ab"]

    assert names(decide(*entries, policy=policy).steps) == ["a"]


def test_what_ran_out_of_memory_is_opened_alone_and_left_alone():
    alone = entry("alone", left=1, is_alone=True)

    assert decide(alone, entry("running", left=2, is_open=True)).opens is None
    assert names(decide(replace_open(alone), entry("new", left=2)).steps) == ["alone"]


def replace_open(it: Entry) -> Entry:
    return replace(it, turns=tuple(replace(turn, is_open=True) for turn in it.turns))


# -- the schedule ----------------------------------------------------------------------------------


def test_a_schedule_takes_a_job_once_and_forgets_it_when_dropped():
    schedule = Schedule().add(entry("a")).add(entry("b"))

    with pytest.raises(ValueError, match="already in the engine"):
        schedule.add(entry("a"))
    assert [it.id for it in schedule.drop("a").entries] == ["b"]
    assert schedule.drop("unknown") == schedule


def test_a_turn_is_replaced_by_its_key_and_finished_turns_go():
    schedule = Schedule().add(entry("a", pictures=2))
    first, second = schedule.turns
    stepped = replace(first, left=1)

    assert schedule.put([stepped]).turns == (stepped, second)
    assert schedule.finish(first).turns == (second,)


# -- over any stream of arrivals -------------------------------------------------------------------

MOST_JOBS = 4
PACE_S = 1.0
MEMORY = 100


@dataclass(frozen=True)
class Arrival:
    """A job that arrives so many seconds after the one before."""

    after_s: float
    entry: Entry


@dataclass
class Outcome:
    """What became of the arrivals, by job."""

    admitted: dict[str, float] = field(default_factory=dict)
    finished: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    longest_pass_s: float = 0.0


def arrivals(**more) -> st.SearchStrategy[list[Arrival]]:
    shapes = {
        "tokens": st.integers(1, 60),
        "cost": st.floats(0.1, 5.0),
        "left": st.integers(1, 6),
        "pictures": st.integers(1, 2),
        "owner": st.sampled_from("xyz"),
        "priority": st.integers(-1, 1),
        **more,
    }

    def build(after_s: float, deadline_s: float | None, **shape) -> Arrival:
        return Arrival(after_s, entry("", deadline=deadline_s, **shape))

    one = st.builds(
        build,
        after_s=st.floats(0, 10),
        deadline_s=st.none() | st.floats(1, 60),
        **shapes,
    )
    return st.lists(one, min_size=1, max_size=25)


def simulate(stream: list[Arrival], policy: Policy) -> Outcome:
    """Run a stream to its end on a clock of its own: room for `MOST_JOBS`, the others queue."""
    queue: list[tuple[float, Entry]] = []
    at = 0.0
    for number, arrival in enumerate(stream):
        at += arrival.after_s
        queue.append((at, named(arrival.entry, f"job{number}", at)))
    now, schedule, outcome = 0.0, Schedule(), Outcome()
    while queue or schedule.entries:
        while queue and queue[0][0] <= now and len(schedule.entries) < MOST_JOBS:
            new = replace(queue.pop(0)[1], arrived_at=now)
            outcome.admitted[new.id] = now
            schedule = schedule.add(new)
        if not schedule.entries:
            now = queue[0][0]
            continue
        decided = tick(schedule, policy, now=now, pace_s=PACE_S)
        check(decided, schedule, policy)
        schedule = replace(schedule, yielded=decided.yielded)
        took_s = PACE_S * sum(turn.cost for turn in decided.steps)
        outcome.longest_pass_s = max(outcome.longest_pass_s, took_s)
        now += took_s
        for turn in decided.steps:
            outcome.steps[turn.job] = outcome.steps.get(turn.job, 0) + 1
            left = replace(turn, left=turn.left - 1, is_open=True)
            schedule = schedule.put([left]) if left.left else schedule.finish(left)
        for it in schedule.entries:
            if not it.turns:
                assert it.id not in outcome.finished
                outcome.finished[it.id] = now
                schedule = schedule.drop(it.id)
    return outcome


def named(it: Entry, id: str, at: float) -> Entry:
    deadline = None if it.deadline is None else at + it.deadline
    turns = tuple(replace(turn, job=id) for turn in it.turns)
    return replace(it, id=id, turns=turns, deadline=deadline)


def check(decided: Tick, schedule: Schedule, policy: Policy) -> None:
    """What holds of every single decision."""
    assert decided.steps, "an iteration without a step would never end"
    tokens = sum(turn.tokens for turn in decided.steps)
    assert tokens <= policy.token_budget or len(decided.steps) == 1
    keys = [turn.key for turn in decided.steps]
    assert len(set(keys)) == len(keys)
    assert all(turn.is_open or turn == decided.opens for turn in decided.steps)
    if policy.memory_bytes is not None:
        held = [turn for turn in schedule.turns if turn.is_open]
        held += [decided.opens] if decided.opens else []
        needed = sum(turn.held_bytes for turn in held)
        needed += sum(turn.peak_bytes for turn in decided.steps)
        assert needed <= policy.memory_bytes


@settings(deadline=None, max_examples=150)
@given(stream=arrivals(), patience=st.floats(0, 10), yields=st.integers(0, 3))
def test_nobody_starves_whatever_arrives(stream: list[Arrival], patience: float, yields: int):
    policy = Policy(token_budget=64, patience=patience, yields=yields, priority_s=5)

    outcome = simulate(stream, policy)

    most_work_s = PACE_S * max(arrival.entry.left for arrival in stream)
    most_steps = max(sum(turn.left for turn in arrival.entry.turns) for arrival in stream)
    passed_for_s = patience * MOST_JOBS * most_work_s + 2 * policy.priority_s
    passes = (1 + yields) * (MOST_JOBS * most_steps + 1)
    bound_s = passed_for_s + passes * outcome.longest_pass_s
    for id, admitted in outcome.admitted.items():
        assert outcome.finished[id] - admitted <= bound_s + 1e-6


@settings(deadline=None, max_examples=100)
@given(stream=arrivals(held_bytes=st.integers(0, 60), peak_bytes=st.integers(0, 40)))
def test_every_job_gets_each_of_its_steps_within_budget_and_memory(stream: list[Arrival]):
    outcome = simulate(stream, Policy(token_budget=64, memory_bytes=MEMORY))

    for number, arrival in enumerate(stream):
        due = sum(turn.left for turn in arrival.entry.turns)
        assert outcome.steps[f"job{number}"] == due
    assert len(outcome.finished) == len(stream)


@settings(deadline=None, max_examples=100)
@given(stream=arrivals(), data=st.data())
def test_a_dropped_job_is_in_no_later_decision(stream: list[Arrival], data):
    schedule = Schedule()
    for number, arrival in enumerate(stream):
        schedule = schedule.add(named(arrival.entry, f"job{number}", 0.0))
    gone = data.draw(st.sampled_from([it.id for it in schedule.entries]))

    decided = tick(schedule.drop(gone), Policy(), now=0.0, pace_s=PACE_S)

    assert gone not in names(decided.steps)
