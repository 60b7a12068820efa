"""The scheduler's promises: a few by example, the rest over arrivals that Hypothesis invents."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retouch.engine.scheduler import Basis, Entry, Policy, Schedule, Tick, Turn, order, tick


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


def schedule_of(*entries: Entry) -> Schedule:
    """They came in this order before anything was done."""
    schedule = Schedule()
    for it in entries:
        schedule = schedule.add(it)
    return schedule


def decide(*entries: Entry, policy: Policy | None = None, now: float = 0.0) -> Tick:
    return tick(schedule_of(*entries), policy or Policy(), now=now, pace_s=1.0)


def names(turns) -> list[str]:
    return [turn.job for turn in turns]


def ranked(*entries: Entry, pace_s: float = 1.0, **rules) -> list[str]:
    """Who goes first when they came in this order before anything was done."""
    return in_order(schedule_of(*entries), pace_s=pace_s, **rules)


def in_order(schedule: Schedule, *, pace_s: float = 1.0, **rules) -> list[str]:
    return [it.id for it in order(schedule, Policy(**rules), now=0.0, pace_s=pace_s)]


def after(work: float, *entries: Entry) -> Schedule:
    """These came first, then so much work was done on others."""
    return replace(schedule_of(*entries), done=work)


# -- who goes first --------------------------------------------------------------------------------


def test_the_shortest_remaining_work_goes_first():
    assert ranked(entry("long", left=9), entry("short", left=2)) == ["short", "long"]


def test_work_is_cost_times_steps_over_all_pictures():
    several = entry("several", cost=1, left=4, pictures=3)

    assert ranked(several, entry("costly", cost=3, left=2)) == ["costly", "several"]


def test_without_patience_everybody_goes_in_order_of_arrival():
    entries = [entry(id, left=left) for id, left in (("a", 9), ("b", 2), ("c", 5), ("d", 1))]

    assert ranked(*entries, patience=1, slower=1) == ["a", "b", "c", "d"]


def test_a_job_is_passed_until_what_it_can_spare_is_gone():
    old, short = entry("old", left=10), entry("short", cost=2, left=1)

    assert in_order(after(18, old).add(short), patience=3, passing=1)[0] == "short"
    assert in_order(after(18.1, old).add(short), patience=3, passing=1)[0] == "old"


def test_who_passes_leaves_most_of_what_can_be_spared_to_the_shorter():
    old = after(14, entry("old", left=10))  # due at 30: it can spare 6
    middling, short = entry("middling", left=3), entry("short", left=1)

    assert in_order(old.add(middling), patience=3)[0] == "old"
    assert in_order(old.add(middling), patience=3, passing=0.5)[0] == "middling"
    assert in_order(old.add(short), patience=3)[0] == "short"


def test_who_began_to_pass_is_not_stopped_halfway():
    schedule = after(12, entry("old", left=10)).add(entry("short", left=2))

    for left in (1, 0):
        assert in_order(schedule, patience=3)[0] == "short"
        schedule = schedule.stepped([replace(schedule.turns[1], left=left)])


def test_who_found_a_long_queue_is_promised_little_more_than_its_turn_in_it():
    queue = [entry(f"queue{number}", left=10) for number in range(4)]
    last, short = entry("last", left=10), entry("short", left=1)

    def first(done: float) -> str:
        schedule = schedule_of(*queue, last)
        for it in queue:
            schedule = schedule.drop(it.id)
        return in_order(replace(schedule, done=done).add(short), patience=2, slower=1.25)[0]

    assert first(1.25 * 50 - 10 - 4) == "short"
    assert first(1.25 * 50 - 10 - 3) == "last"


def test_priority_comes_before_length():
    low, normal = entry("low", left=1, priority=-1), entry("normal", left=7)

    assert ranked(low, normal) == ["normal", "low"]


def test_low_priority_is_promised_a_later_time_and_gets_it():
    low, normal = entry("low", left=2, priority=-1), entry("normal", left=1)

    assert in_order(after(13, low).add(normal), patience=2, favour=4)[0] == "normal"
    assert in_order(after(13.5, low).add(normal), patience=2, favour=4)[0] == "low"


def test_an_equal_may_take_little_of_what_can_be_spared_and_a_higher_priority_all():
    old, other = entry("old", left=10), entry("other", left=18)

    assert in_order(after(2, old).add(other))[0] == "old"
    assert in_order(after(2, old).add(replace(other, priority=1)))[0] == "other"


@pytest.mark.parametrize(
    ("deadline", "first"),
    [(13.0, "short"), (12.0, "due"), (8.0, "due"), (7.5, "short")],
    ids=["later than the other's", "can spare little", "at once or never", "cannot be kept"],
)
def test_a_deadline_that_can_be_kept_is(deadline: float, first: str):
    due, short = entry("due", left=8, deadline=deadline), entry("short", left=2)

    assert ranked(due, short)[0] == first


def test_without_a_pace_deadlines_say_nothing():
    due, short = entry("due", left=8, deadline=8.0), entry("short", left=2)

    assert ranked(due, short, pace_s=0.0)[0] == "short"


def test_an_owner_with_many_jobs_gets_no_more_than_one_with_few():
    many = [entry(f"many{number}", owner="many") for number in range(8)]
    schedule, over = schedule_of(*many, entry("few", left=2, owner="few")), list[str]()
    while schedule.entries:
        over.append(in_order(schedule)[0])
        turns = [turn for turn in schedule.turns if turn.job == over[-1]]
        schedule = schedule.stepped([replace(turns[0], left=0)]).drop(over[-1])

    assert over[:2] == ["many0", "few"]


def test_an_owner_with_many_jobs_gives_way_in_company_only():
    many = [entry(f"many{number}", left=10, owner="many") for number in range(4)]
    few = entry("few", left=7, owner="few")
    schedule = after(22, *many).drop("many0")

    assert in_order(schedule.add(few), patience=3)[0] == "few"
    assert in_order(schedule.add(replace(few, owner="many")), patience=3)[0] == "many1"


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


def test_how_much_may_join_is_the_policys():
    small, large = entry("small", left=1, is_open=True), entry("large", cost=3, is_open=True)

    assert names(decide(small, large, policy=Policy(joins=2.9)).steps) == ["small"]
    assert names(decide(small, large, policy=Policy(joins=3)).steps) == ["small", "large"]
    assert names(decide(small, entry("b", is_open=True), policy=Policy(joins=0)).steps) == ["small"]


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
    bases: dict[str, Basis] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)  # work of all, when it was over
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
        "deadline_s": st.none() | st.floats(1, 60),
        **more,
    }

    def build(after_s: float, deadline_s: float | None, **shape) -> Arrival:
        return Arrival(after_s, entry("", deadline=deadline_s, **shape))

    one = st.builds(
        build,
        after_s=st.floats(0, 10),
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
            schedule = schedule.add(queue.pop(0)[1])
            outcome.admitted[schedule.entries[-1].id] = now
            outcome.bases[schedule.entries[-1].id] = schedule.entries[-1].basis
        if not schedule.entries:
            now = queue[0][0]
            continue
        decided = tick(schedule, policy, now=now, pace_s=PACE_S)
        check(decided, schedule, policy)
        took_s = PACE_S * sum(turn.cost for turn in decided.steps)
        outcome.longest_pass_s = max(outcome.longest_pass_s, took_s)
        now += took_s
        stepped = [replace(turn, left=turn.left - 1, is_open=True) for turn in decided.steps]
        schedule = schedule.stepped(stepped)
        for turn in stepped:
            outcome.steps[turn.job] = outcome.steps.get(turn.job, 0) + 1
            if not turn.left:
                schedule = schedule.finish(turn)
        for it in schedule.entries:
            if not it.turns:
                assert it.id not in outcome.finished
                outcome.finished[it.id] = now
                outcome.done[it.id] = schedule.done
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
    for number, turn in enumerate(decided.steps[1:], start=1):
        assert turn.cost <= policy.joins * sum(it.cost for it in decided.steps[:number])
    keys = [turn.key for turn in decided.steps]
    assert len(set(keys)) == len(keys)
    assert all(turn.is_open or turn == decided.opens for turn in decided.steps)
    if policy.memory_bytes is not None:
        held = [turn for turn in schedule.turns if turn.is_open]
        held += [decided.opens] if decided.opens else []
        needed = sum(turn.held_bytes for turn in held)
        needed += sum(turn.peak_bytes for turn in decided.steps)
        assert needed <= policy.memory_bytes


RULES = {"patience": st.floats(1, 10), "slower": st.floats(1, 3)}


@settings(max_examples=150)
@given(
    stream=arrivals(priority=st.just(0), owner=st.just("x"), deadline_s=st.none()),
    rules=st.fixed_dictionaries(RULES),
)
def test_every_promise_is_kept_where_pictures_step_one_at_a_time(stream: list[Arrival], rules):
    policy = Policy(token_budget=0, **rules)

    outcome = simulate(stream, policy)

    for id, basis in outcome.bases.items():
        allowed = max(policy.slower * basis.left, policy.patience * basis.own)
        assert outcome.done[id] - basis.done <= allowed + 1e-6


@settings(max_examples=150)
@given(
    stream=arrivals(held_bytes=st.integers(0, 60), peak_bytes=st.integers(0, 40)),
    rules=st.fixed_dictionaries(RULES),
)
def test_nobody_starves_whatever_arrives(stream: list[Arrival], rules):
    policy = Policy(token_budget=64, memory_bytes=MEMORY, favour=2, **rules)

    outcome = simulate(stream, policy)

    most_work_s = PACE_S * max(arrival.entry.left for arrival in stream)
    most_steps = max(sum(turn.left for turn in arrival.entry.turns) for arrival in stream)
    allowed = policy.favour * max(policy.slower, policy.patience)
    bound_s = allowed * MOST_JOBS * most_work_s
    bound_s += (MOST_JOBS * most_steps + 1) * outcome.longest_pass_s
    for id, admitted in outcome.admitted.items():
        assert outcome.finished[id] - admitted <= bound_s + 1e-6


@settings(max_examples=100)
@given(stream=arrivals(held_bytes=st.integers(0, 60), peak_bytes=st.integers(0, 40)))
def test_every_job_gets_each_of_its_steps_within_budget_and_memory(stream: list[Arrival]):
    outcome = simulate(stream, Policy(token_budget=64, memory_bytes=MEMORY))

    for number, arrival in enumerate(stream):
        due = sum(turn.left for turn in arrival.entry.turns)
        assert outcome.steps[f"job{number}"] == due
    assert len(outcome.finished) == len(stream)


@settings(max_examples=100)
@given(stream=arrivals(), data=st.data())
def test_a_dropped_job_is_in_no_later_decision(stream: list[Arrival], data):
    schedule = Schedule()
    for number, arrival in enumerate(stream):
        schedule = schedule.add(named(arrival.entry, f"job{number}", 0.0))
    gone = data.draw(st.sampled_from([it.id for it in schedule.entries]))

    decided = tick(schedule.drop(gone), Policy(), now=0.0, pace_s=PACE_S)

    assert gone not in names(decided.steps)
