"""Random lives, told to the memory twin and to a database at once: they must agree on everything.

The databases are SQLite and, with fewer lives, PostgreSQL.
"""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from retouch.domain.edit import Edit
from retouch.domain.failure import Failure, FailureKind
from retouch.domain.prediction import (
    FINAL,
    Cancel,
    Fail,
    Fence,
    Prediction,
    Progress,
    Requeue,
    Status,
    Succeed,
    Webhook,
)
from retouch.ports import Delivered, Delivery, GiveUp, Postpone, Retry
from retouch.store import SqlStore
from retouch.testing import FakeClock, MemoryStore

IDS = st.sampled_from("abcdef")
WORKERS = st.sampled_from(["w1", "w2"])
ATTEMPTS = st.integers(0, 3)
LOSSES = st.sampled_from(["abandoned", "crashed", "restarted"])
MOVES = st.sampled_from(
    [
        Succeed((), {"t": 1.0}, "log"),
        Fail(Failure(FailureKind.INTERNAL, "no")),
        Cancel("ada"),
        Requeue("interrupted"),
        Requeue("abandoned"),
        Requeue("crashed"),
        Requeue("restarted"),
    ]
)
WEBHOOKS = st.sampled_from(
    [
        None,
        Webhook(url="u", tells=frozenset({Status.RUNNING, Status.FAILED}), origin="o"),
        Webhook(url="u", tells=FINAL, origin="o"),
    ]
)
TOLD = st.builds(
    lambda id, tells, attempt: Delivery(
        id=f"{id}-{tells}",
        prediction_id=id,
        tells=tells,
        created_at=0.0,
        due_at=0.0,
        attempt=attempt,
    ),
    IDS,
    st.sampled_from([Status.RUNNING, *sorted(FINAL)]),
    st.integers(1, 3),
)
OUTCOMES = st.sampled_from(
    [Delivered("200"), Retry(0, "500"), Retry(1000, "500"), Postpone(0), GiveUp("410")]
)
FENCES = st.none() | st.builds(Fence, WORKERS, ATTEMPTS)


class Lives(RuleBasedStateMachine):
    """Every verb with every argument; a lease of 0 s has lapsed, one of 1000 s never does."""

    def __init__(self, fresh: Callable[[], str]) -> None:
        """`fresh` makes an empty database and tells its URL."""
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._memory, self._database = MemoryStore(FakeClock()), SqlStore(fresh())
        self._run(self._database.start())

    def teardown(self) -> None:
        self._run(self._database.stop())
        self._loop.close()

    @rule(
        id=IDS,
        owner=st.sampled_from(["ada", "eve"]),
        priority=st.sampled_from([0, 0, 1]),
        cost=st.sampled_from([0.5, 1.0, 2.0]),
        webhook=WEBHOOKS,
    )
    def add(self, id, owner, priority, cost, webhook):
        made = Prediction(
            id=id, owner=owner, protocol="fal", model="m", input={}, edit=Edit(prompt="x"),
            created_at=1.0, priority=priority, cost=cost, webhook=webhook,
        )  # fmt: skip
        self._both("add", made)

    @rule(worker=WORKERS, limit=st.integers(0, 3), lease_s=st.sampled_from([0, 1000]))
    def claim(self, worker, limit, lease_s):
        self._both("claim", worker, limit=limit, lease_s=lease_s)

    @rule(id=IDS, move=MOVES, fence=FENCES)
    def advance(self, id, move, fence):
        self._both("advance", id, move, fence=fence)

    @rule(
        worker=WORKERS,
        held=st.dictionaries(IDS, st.tuples(ATTEMPTS, st.none() | st.just(Progress(1, 4)))),
        lease_s=st.sampled_from([0, 1000]),
    )
    def beat(self, worker, held, lease_s):
        self._both("beat", worker, held, lease_s=lease_s)

    @rule(worker=st.none() | WORKERS, loss=LOSSES)
    def release(self, worker, loss):
        self._both("release", worker, loss=loss, in_any_order=True)

    @rule(lease_s=st.sampled_from([0, 1000]), sender=WORKERS)
    def deliveries(self, lease_s, sender):
        self._both("deliveries", limit=50, lease_s=lease_s, sender=sender, in_any_order=True)

    @rule(delivery=TOLD, outcome=OUTCOMES)
    def settle(self, delivery, outcome):
        self._both("settle", delivery, outcome)

    @rule(sender=WORKERS)
    def release_deliveries(self, sender):
        self._both("release_deliveries", sender)

    @rule(delivery=TOLD)
    def replay(self, delivery):
        self._both("replay", delivery.id)

    @rule(id=IDS)
    def position(self, id):
        self._both("position", id)

    @invariant()
    def both_hold_the_same(self):
        self._both("page", None, limit=10)
        self._both("depth")
        self._both("list_deliveries", limit=20, in_any_order=True)
        self._both("standings", "abcdef")
        for id in "abcdef":
            self._both("events", id)

    @invariant()
    def every_end_is_recorded_and_told_once(self):
        told = [it.id for it in self._run(self._database.list_deliveries(limit=50))]
        for it in self._run(self._database.page(None, limit=10)):
            names = [event.name for event in self._run(self._database.events(it.id))]
            ends = [name for name in names if name in FINAL]
            assert ends == ([it.status] if it.status.is_final else []), names
            reached = {Status.RUNNING} if "started" in names else set()
            wanted = (reached | set(ends)) & (it.webhook.tells if it.webhook else set())
            about = [id for id in told if id.startswith(f"{it.id}-")]
            assert sorted(about) == sorted(f"{it.id}-{status}" for status in wanted)

    @invariant()
    def what_was_crashed_under_runs_alone(self):
        rows = self._run(self._database.page(None, limit=10))
        for worker in ("w1", "w2"):
            held = [it for it in rows if it.status is Status.RUNNING and it.worker == worker]
            assert len(held) <= 1 or not any(it.crashes for it in held)

    def _both(self, verb, *arguments, in_any_order=False, **options):
        answers = [
            self._run(_answer(getattr(store, verb), arguments, options))
            for store in (self._memory, self._database)
        ]
        if in_any_order:
            answers = [sorted(answer, key=lambda it: it.id) for answer in answers]
        assert answers[0] == answers[1], verb

    def _run(self, work):
        return self._loop.run_until_complete(work)


async def _answer(verb, arguments, options):
    try:
        answer = await verb(*arguments, **options)
    except ValueError:
        return "refused"
    return _timeless(answer)


def _timeless(answer):
    """The answer without what the two clocks and the two counters make different."""
    if isinstance(answer, list | tuple):
        return [_timeless(item) for item in answer]
    if isinstance(answer, Prediction):
        started, completed = answer.started_at, answer.completed_at
        times = {"started_at": started and 0.0, "completed_at": completed and 0.0}
        return replace(answer, **times)
    if isinstance(answer, Delivery):
        return replace(answer, created_at=0.0, due_at=0.0)
    if hasattr(answer, "seq"):
        return (answer.name, answer.data)
    return answer


EXAMPLES = {"sqlite": 10, "postgres": 5}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_memory_and_a_database_live_the_same_lives(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if kind == "sqlite":
        template, numbers = request.getfixturevalue("sqlite_template"), count()

        def fresh() -> str:
            return f"sqlite:///{shutil.copy(template, tmp_path / f'{next(numbers)}.db')}"
    else:
        fresh = request.getfixturevalue("postgres").emptied

    run_state_machine_as_test(
        lambda: Lives(fresh),
        settings=settings(
            max_examples=EXAMPLES[kind],
            stateful_step_count=20,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
