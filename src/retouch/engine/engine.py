"""The engine: opens jobs, steps them in groups, closes what is done, and says what happened.

It owns the order of things and each job's bookkeeping; the scheduler decides who steps, the family
does the work. It is synchronous and called from one thread.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from secrets import randbelow
from typing import Any

from retouch.domain.edit import Size
from retouch.domain.errors import RetouchError
from retouch.domain.picture import Picture
from retouch.domain.prediction import Progress
from retouch.engine.scheduler import Schedule, Turn, group
from retouch.ports import (
    Broken,
    Clock,
    EngineEvent,
    Family,
    Finished,
    Job,
    Plan,
    Previewed,
    Stepped,
)

log = logging.getLogger(__name__)

SEEDS = 2**63
"""Seeds are 0..SEEDS-1."""


@dataclass(slots=True)
class _Run:
    """An opened job: a session for each picture not yet decoded, a picture for each that is."""

    plan: Plan  # of its first picture; the others differ in their seed only
    opened_at: float
    sessions: dict[int, Any]
    pictures: dict[int, Picture] = field(default_factory=dict)
    step: int = 0  # steps done, averaged over its pictures and rounded down
    previews: int = 0  # of those it wants, how many have been made or left out


class StepEngine:
    """`retouch.ports.Engine` over one family.

    `max_jobs` bounds how many jobs it holds, `token_budget` how many tokens one forward pass
    carries (text, target and references of every picture in it).
    """

    def __init__(
        self,
        family: Family,
        *,
        clock: Clock,
        max_jobs: int = 8,
        token_budget: int = 16_384,
        draw_seed: Callable[[], int] = lambda: randbelow(2**32),
    ) -> None:
        self.family = family
        self._clock = clock
        self._max_jobs = max_jobs
        self._token_budget = token_budget
        self._draw_seed = draw_seed
        self._schedule = Schedule()
        self._jobs: dict[str, Job] = {}
        self._runs: dict[str, _Run] = {}

    @property
    def idle(self) -> bool:
        """Whether there is nothing to step."""
        return not self._jobs

    def room(self) -> int:
        """How many more jobs it would take now."""
        return max(0, self._max_jobs - len(self._jobs))

    def add(self, job: Job) -> None:
        """Take a job; it is opened at a coming step. Raises ValueError when it is already here."""
        self._schedule = self._schedule.wait(job.id)
        self._jobs[job.id] = job

    def cancel(self, id: str) -> None:
        """Drop a job and everything it holds. Unknown ids are fine."""
        self._schedule = self._schedule.drop(id)
        self._jobs.pop(id, None)
        self._runs.pop(id, None)

    def step(self) -> list[EngineEvent]:
        """One iteration: open one waiting job, one denoising step for one group, close the done."""
        events: list[EngineEvent] = []
        events += self._open()
        turns = group(self._schedule.running, self._token_budget)
        events += self._denoise(turns)
        events += self._report(turns)
        events += self._preview(turns)
        events += self._close(turns)
        return events

    # -- the parts of an iteration ---------------------------------------------------------

    def _open(self) -> Iterator[EngineEvent]:
        if not self._schedule.waiting:
            return
        job = self._jobs[self._schedule.waiting[0]]
        opened_at = self._clock.monotonic()
        try:
            plans, sessions = self._sessions(job)
        except RetouchError as error:
            yield self._break(job.id, error)
            return
        self._schedule = self._schedule.open(job.id, [plan.tokens for plan in plans])
        self._runs[job.id] = _Run(plans[0], opened_at, dict(enumerate(sessions)))

    def _sessions(self, job: Job) -> tuple[list[Plan], list[Any]]:
        """A plan and a session for each picture: seeds count up from the edit's."""
        first = self._draw_seed() if job.edit.seed is None else job.edit.seed
        sizes = [Size(image.width, image.height) for image in job.images]
        seeds = [(first + number) % SEEDS for number in range(job.edit.count)]
        plans = [self.family.plan(job.edit, sizes, seed) for seed in seeds]
        return plans, [self.family.open(plan, job.edit, job.images) for plan in plans]

    def _denoise(self, turns: Sequence[Turn]) -> Iterator[EngineEvent]:
        """Step a group together; when that fails, each alone once, and break those that fail."""
        if not turns:
            return
        try:
            self.family.step([self._session(turn) for turn in turns])
        except RetouchError as error:
            if len(turns) == 1:
                yield self._break(turns[0].job, error)
                return
            log.warning("packed_step_failed jobs=%s: %s", [turn.job for turn in turns], error)
            for turn in turns:
                if turn.job in self._runs:  # a sibling may have broken it
                    yield from self._denoise([turn])

    def _report(self, turns: Sequence[Turn]) -> Iterator[EngineEvent]:
        for id in dict.fromkeys(turn.job for turn in turns if turn.job in self._runs):
            run = self._runs[id]
            done = sum(self.family.step_index(session) for session in run.sessions.values())
            step = (done + run.plan.steps * len(run.pictures)) // self._jobs[id].edit.count
            if step > run.step:
                run.step = step
                yield Stepped(id, Progress(step, run.plan.steps))

    def _preview(self, turns: Sequence[Turn]) -> Iterator[EngineEvent]:
        """At most one a step: who shares the device waits for no more than one decoding."""
        for turn in turns:
            run = self._runs.get(turn.job)
            if run is None or turn.number:
                continue
            session, wanted = run.sessions[0], self._jobs[turn.job].edit.previews
            due = previews_due(self.family.step_index(session), run.plan.steps, wanted)
            if due <= run.previews:
                continue
            run.previews = due
            try:
                picture = self.family.preview(session)
            except RetouchError as error:  # the edit itself is unharmed
                log.warning("preview_failed job=%s: %s", turn.job, error)
                continue
            if picture is not None:
                yield Previewed(turn.job, picture)
                return

    def _close(self, turns: Sequence[Turn]) -> Iterator[EngineEvent]:
        for turn in turns:
            run = self._runs.get(turn.job)
            if run is None or self.family.step_index(run.sessions[turn.number]) < run.plan.steps:
                continue
            try:
                run.pictures[turn.number] = self.family.close(run.sessions.pop(turn.number))
            except RetouchError as error:
                yield self._break(turn.job, error)
                continue
            self._schedule = self._schedule.finish([turn])
            if not run.sessions:
                yield self._finish(turn.job)

    # -- the ends of a job -----------------------------------------------------------------------

    def _finish(self, id: str) -> Finished:
        run = self._runs[id]
        pictures = tuple(run.pictures[number] for number in sorted(run.pictures))
        elapsed_s = self._clock.monotonic() - run.opened_at
        metrics = {"steps": float(run.plan.steps), "predict_time": elapsed_s}
        logs = self._logs(run, elapsed_s)
        self.cancel(id)
        return Finished(id, pictures, metrics, logs)

    def _break(self, id: str, error: RetouchError) -> Broken:
        log.warning("job_broken id=%s: %s", id, error, exc_info=error)
        run = self._runs.get(id)
        logs = "" if run is None else self._logs(run, self._clock.monotonic() - run.opened_at)
        self.cancel(id)
        return Broken(id, str(error), logs)

    def _logs(self, run: _Run, elapsed_s: float) -> str:
        size = run.plan.size
        lines = [
            f"Using seed: {run.plan.seed}",
            f"Served by the weights {self.family.name}, {size.width}x{size.height} pixels",
        ]
        if run.step:
            lines.append(progress_line(run.step, run.plan.steps, elapsed_s))
        return "\n".join(lines) + "\n"

    def _session(self, turn: Turn) -> Any:
        return self._runs[turn.job].sessions[turn.number]


def previews_due(step: int, steps: int, previews: int) -> int:
    """How many of a picture's previews its steps so far have earned: they come evenly between the
    first step and the last, which has the picture itself.

    >>> [previews_due(step, 8, 3) for step in range(9)]
    [0, 0, 1, 1, 2, 2, 3, 3, 0]
    """
    return 0 if step == steps else step * (previews + 1) // steps


def progress_line(step: int, steps: int, elapsed_s: float) -> str:
    """A line as tqdm prints it, which clients of hosted APIs parse for the percentage.

    >>> progress_line(4, 8, 1.0)
    ' 50%|█████     | 4/8 [00:01<00:01,  4.00it/s]'
    """
    bar = "█" * (10 * step // steps)
    counts = f"{100 * step // steps:3d}%|{bar:<10}| {step}/{steps}"
    if elapsed_s <= 0:
        return f"{counts} [00:00<?, ?it/s]"
    rate = step / elapsed_s
    speed = f"{rate:5.2f}it/s" if rate >= 1 else f"{1 / rate:5.2f}s/it"
    return f"{counts} [{_clock_face(elapsed_s)}<{_clock_face((steps - step) / rate)}, {speed}]"


def _clock_face(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"
