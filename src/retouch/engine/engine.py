"""The engine: opens pictures, steps them in groups, closes what is done, and says what happened.

It owns each job's bookkeeping; the scheduler decides who is opened and who steps, the family does
the work. It is synchronous and called from one thread.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from secrets import randbelow
from typing import Any, TypeVar

import structlog

from retouch.domain.errors import OutOfMemory, RetouchError
from retouch.domain.picture import Picture
from retouch.domain.prediction import Progress
from retouch.engine.ahead import Ahead
from retouch.engine.behind import Behind
from retouch.engine.memory import NoMemory, remedy
from retouch.engine.pace import Pace
from retouch.engine.planning import plans_of
from retouch.engine.progress import previews_due
from retouch.engine.run import Run
from retouch.engine.scheduler import Entry, Policy, Schedule, Tick, Turn, tick
from retouch.ports import (
    Broken,
    Clock,
    EngineEvent,
    Family,
    Finished,
    Job,
    Memory,
    Plan,
    Previewed,
    Stepped,
)

T = TypeVar("T")

log = structlog.get_logger(__name__)


class StepEngine:
    """`retouch.ports.Engine` over one family.

    `max_jobs` bounds how many jobs it holds; `policy` says what one forward pass carries and who
    goes first; `pace` is what calibration learned, if there was one. With `ahead` pictures are made
    ready beside the steps of others, and opened once they are; with `behind` they are decoded
    there.
    """

    def __init__(
        self,
        family: Family,
        *,
        clock: Clock,
        max_jobs: int = 8,
        policy: Policy = Policy(),  # noqa: B008  frozen
        pace: Pace = Pace(),  # noqa: B008  frozen
        memory: Memory = NoMemory(),  # noqa: B008  stateless
        ahead: Ahead | None = None,
        behind: Behind | None = None,
        draw_seed: Callable[[], int] = lambda: randbelow(2**32),
    ) -> None:
        self.family = family
        self._clock = clock
        self._max_jobs = max_jobs
        self._policy, self._pace = policy, pace
        self._memory = memory
        self._ahead, self._behind = ahead, behind
        self._draw_seed = draw_seed
        self._schedule = Schedule()
        self._jobs: dict[str, Job] = {}
        self._new: list[str] = []  # jobs not planned yet, oldest first
        self._runs: dict[str, Run] = {}

    @property
    def idle(self) -> bool:
        """Whether there is nothing to step."""
        return not self._jobs

    def room(self) -> int:
        """How many more jobs it would take now."""
        return max(0, self._max_jobs - len(self._jobs))

    def free_bytes(self) -> int | None:
        """Bytes that could still be allocated on the device; None when that is not known."""
        return self._memory.free_bytes()

    def expected_s(self) -> float | None:
        """How long the next forward pass should take; None before one was timed or planned."""
        if self._new or not self._pace.is_known:
            return None
        due = self._tick(self._schedule)
        return self._pace.seconds * sum(turn.cost for turn in due.steps)

    def add(self, job: Job) -> None:
        """Take a job; it is planned at the next step. Raises ValueError when it is already here."""
        if job.id in self._jobs:
            raise ValueError(f"job {job.id!r} is already in the engine")
        self._jobs[job.id] = job
        self._new.append(job.id)

    def cancel(self, id: str) -> None:
        """Drop a job and everything it holds. Unknown ids are fine."""
        self._schedule = self._schedule.drop(id)
        self._jobs.pop(id, None)
        self._new = [new for new in self._new if new != id]
        self._runs.pop(id, None)
        if self._ahead is not None:
            self._ahead.forget(id)
        if self._behind is not None:
            self._behind.forget(id)

    def step(self) -> list[EngineEvent]:
        """One iteration: open one picture, one denoising step for one group, close the done."""
        events: list[EngineEvent] = []
        events += self._admit()
        due = self._due() if self._ahead is None else self._due_beside(self._ahead)
        events += self._open(due.opens)
        turns = [turn for turn in due.steps if self._is_open(turn)]
        events += self._denoise(turns)
        turns = [turn for turn in turns if self._is_open(turn)]
        events += self._report(turns)
        events += self._preview(turns)
        events += self._close(turns)
        events += self._take_decoded(is_idle=not turns)
        return events

    # -- the parts of an iteration ---------------------------------------------------------------

    def _admit(self) -> Iterator[EngineEvent]:
        """Plan the jobs that came since the last step; nothing is allocated for them yet."""
        while self._new:
            id = self._new.pop(0)
            try:
                plans = plans_of(
                    self._jobs[id], self.family, self._policy.memory_bytes, self._draw_seed
                )
            except RetouchError as error:
                yield self._break(id, error)
                continue
            self._runs[id] = Run(plans, self._jobs[id].edit.mode)
            self._schedule = self._schedule.add(self._entry(self._jobs[id], plans[0]))

    def _entry(self, job: Job, plan: Plan) -> Entry:
        turns = (
            Turn(
                job=job.id,
                number=number,
                tokens=plan.tokens,
                cost=self.family.cost(plan) + self._pace.overhead,
                left=plan.steps,
                held_bytes=plan.held_bytes,
                peak_bytes=plan.peak_bytes,
            )
            for number in range(job.edit.count)
        )
        in_s = None if job.deadline is None else job.deadline - self._clock.now()
        return Entry(
            id=job.id,
            turns=tuple(turns),
            owner=job.owner,
            priority=job.priority,
            deadline=None if in_s is None else self._clock.monotonic() + in_s,
        )

    def _due(self) -> Tick:
        """Decide what this iteration does."""
        return self._tick(self._schedule)

    def _due_beside(self, ahead: Ahead) -> Tick:
        """The same where pictures are made ready ahead: who is not yet, others go before.

        When nobody else can step, it waits.
        """
        self._look_ahead(ahead)
        schedule, due = self._schedule, self._due()
        late = due.opens
        while due.opens is not None and ahead.is_under_way(due.opens.job):
            schedule = schedule.drop(due.opens.job)
            due = self._tick(schedule)
        if late is None or due.steps:
            return due
        ahead.wait(late.job)
        return self._due()

    def _look_ahead(self, ahead: Ahead) -> None:
        """Begin with whoever waits. While nothing steps there is nothing to do it beside."""
        opened = [turn for turn in self._schedule.turns if turn.is_open]
        for id, run in self._runs.items() if opened else ():
            if run.opened_at is None and id not in ahead and self._fits_beside(run.plan, opened):
                ahead.begin(id, run.plan, self._jobs[id].edit, self._jobs[id].images)

    def _fits_beside(self, plan: Plan, opened: Sequence[Turn]) -> bool:
        """Whether a picture's encoding, which takes no more than its peak, fits beside a pass."""
        taken = sum(turn.held_bytes + turn.peak_bytes for turn in opened) + plan.peak_bytes
        return self._policy.memory_bytes is None or taken <= self._policy.memory_bytes

    def _tick(self, schedule: Schedule) -> Tick:
        now = self._clock.monotonic()
        return tick(schedule, self._policy, now=now, pace_s=self._pace.seconds)

    def _open(self, turn: Turn | None) -> Iterator[EngineEvent]:
        if turn is None:
            return
        job, run = self._jobs[turn.job], self._runs[turn.job]
        if run.opened_at is None:
            run.opened_at = self._clock.monotonic()
        plan = run.plans[turn.number]
        session = self._try(partial(self.family.open, plan, job.edit, job.images), turn)
        if isinstance(session, RetouchError):
            yield from self._fail(turn, session)
            return
        run.sessions[turn.number] = session
        self._schedule = self._schedule.put([replace(turn, is_open=True)])

    def _denoise(self, turns: Sequence[Turn]) -> Iterator[EngineEvent]:
        """Step a group together; when that fails, each alone once, and fail those that fail."""
        if not turns:
            return
        started = self._clock.monotonic()
        error = self._try(
            partial(self.family.step, [self._session(turn) for turn in turns]), *turns
        )
        if error is None:
            took_s = self._clock.monotonic() - started
            self._pace = self._pace.timed(sum(turn.cost for turn in turns), took_s)
            self._schedule = self._schedule.stepped([self._stepped(turn) for turn in turns])
            return
        if len(turns) == 1:
            yield from self._fail(turns[0], error)
            return
        if isinstance(error, OutOfMemory):
            self._memory.trim()
            self._narrow(turns)
        for turn in turns:
            if self._is_open(turn):  # a sibling may have broken it
                yield from self._denoise([turn])

    def _report(self, turns: Sequence[Turn]) -> Iterator[EngineEvent]:
        for id in dict.fromkeys(turn.job for turn in turns):
            run = self._runs[id]
            done = sum(self.family.step_index(session) for session in run.sessions.values())
            step = (done + run.plan.steps * len(run.pictures)) // self._jobs[id].edit.count
            if step > run.step:
                run.step = step
                yield Stepped(id, Progress(step, run.plan.steps))

    def _preview(self, turns: Sequence[Turn]) -> Iterator[EngineEvent]:
        """At most one a step: who shares the device waits for no more than one decoding."""
        for turn in turns:
            if turn.number:
                continue
            run, session = self._runs[turn.job], self._session(turn)
            wanted = self._jobs[turn.job].edit.previews
            due = previews_due(self.family.step_index(session), run.plan.steps, wanted)
            if due <= run.previews:
                continue
            run.previews = due
            picture = self._try(partial(self.family.preview, session), turn)
            if isinstance(picture, Picture):  # without one the edit itself is unharmed
                yield Previewed(turn.job, picture)
                return

    def _close(self, turns: Sequence[Turn]) -> Iterator[EngineEvent]:
        """Decode who is done: beside the steps of others, where that is to be and there are any."""
        for turn in turns:
            if not self._is_open(turn) or self._stepped(turn).left:
                continue
            if self._behind is not None and self._due().steps:
                self._behind.begin(turn.key, self._session(turn))
            else:
                yield from self._end(turn, self._closed(turn))

    def _take_decoded(self, *, is_idle: bool) -> Iterator[EngineEvent]:
        """Hand out what was decoded beside; when there was nothing else to do, wait for it."""
        if self._behind is None:
            return
        turns = {turn.key: turn for turn in self._schedule.turns}
        for key in self._behind.wait() if is_idle else self._behind.over():
            if self._is_open(turns[key]):  # a sibling may have broken it
                picture = self._try(partial(self._behind.take, key), turns[key])
                yield from self._end(turns[key], picture)

    def _closed(self, turn: Turn) -> Picture | RetouchError:
        return self._try(partial(self.family.close, self._session(turn)), turn)

    def _end(self, turn: Turn, picture: Picture | RetouchError) -> Iterator[EngineEvent]:
        """The result of a decoding; one that ran out of memory is tried again."""
        run = self._runs[turn.job]
        if isinstance(picture, OutOfMemory):
            self._memory.trim()
            picture = self._closed(turn)
        if isinstance(picture, RetouchError):
            yield from self._fail(turn, picture)
            return
        run.pictures[turn.number] = picture
        run.metrics.update(self.family.metrics(self._session(turn)))
        del run.sessions[turn.number]
        self._schedule = self._schedule.finish(turn)
        self._memory.trim_heap()
        if run.is_done:
            yield self._finish(turn.job)

    # -- what goes wrong -------------------------------------------------------------------------

    def _try(self, work: Callable[[], T], *turns: Turn) -> T | RetouchError:
        """The result of a family's verb on turns, or why it failed, which keeps no tensor alive."""
        try:
            return work()
        except RetouchError as error:
            log.warning("engine.family_failed", exc_info=error, **self._facts(*turns))
            # It has been told: a traceback keeps its frames and their tensors alive.
            error.__traceback__ = error.__cause__ = error.__context__ = None
            return error

    def _fail(self, turn: Turn, error: RetouchError) -> Iterator[EngineEvent]:
        """Break a turn's job; one that ran out of memory starts over first, alone, once."""
        run = self._runs[turn.job]
        run.sessions.pop(turn.number, None)
        if not isinstance(error, OutOfMemory):
            yield self._break(turn.job, error)
            return
        if turn.is_alone:
            yield self._break(turn.job, OutOfMemory(remedy(run.plan, self._policy.memory_bytes)))
        else:
            log.warning("engine.starts_over_alone", picture=turn.number, **self._facts(turn))
            again = replace(turn, is_open=False, is_alone=True, left=run.plan.steps)
            self._schedule = self._schedule.put([again])
        self._memory.trim()

    def _narrow(self, turns: Sequence[Turn]) -> None:
        """Carry less in a pass from now on than what ran out of memory."""
        budget = sum(turn.tokens for turn in turns) // 2
        if budget < self._policy.token_budget:
            log.warning("engine.token_budget_halved", to=budget)
            self._policy = replace(self._policy, token_budget=budget)

    # -- the ends of a job -----------------------------------------------------------------------

    def _finish(self, id: str) -> Finished:
        run = self._runs[id]
        pictures = tuple(run.pictures[number] for number in sorted(run.pictures))
        now = self._clock.monotonic()
        took_s, logs = run.elapsed_s(now), run.logs(self.family.name, now)
        metrics = {"steps": float(run.plan.steps), "predict_time": took_s, **run.metrics}
        self.cancel(id)
        return Finished(id, pictures, metrics, logs)

    def _break(self, id: str, error: RetouchError) -> Broken:
        log.warning("engine.job_broken", reason=str(error), job=id, **self._jobs[id].facts)
        run = self._runs.get(id)
        logs = ""
        if run is not None and run.opened_at is not None:
            logs = run.logs(self.family.name, self._clock.monotonic())
        self.cancel(id)
        return Broken(id, error.failure, logs)

    # -- what is known of a turn -----------------------------------------------------------------

    def _facts(self, *turns: Turn) -> dict[str, object]:
        """The fields of a log line about turns: of one job all that is known of it."""
        first, *others = dict.fromkeys(turn.job for turn in turns)
        return {"jobs": [first, *others]} if others else {"job": first, **self._jobs[first].facts}

    def _is_open(self, turn: Turn) -> bool:
        run = self._runs.get(turn.job)
        return run is not None and turn.number in run.sessions

    def _session(self, turn: Turn) -> Any:
        return self._runs[turn.job].sessions[turn.number]

    def _stepped(self, turn: Turn) -> Turn:
        """The turn as its session now stands."""
        done = self.family.step_index(self._session(turn))
        return replace(turn, is_open=True, left=self._runs[turn.job].plan.steps - done)
