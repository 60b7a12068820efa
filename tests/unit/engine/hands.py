"""A thread that works when a test tells it to, or when somebody waits for it."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from hypothesis import strategies as st

from retouch.domain.edit import Edit
from retouch.ports import Finished, Job

JOBS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 4)), max_size=8)
"""Jobs to give one after another: steps, pictures, and how much of the work is done by then."""


class Work(Future[Any]):
    """Done when somebody does it or waits for it."""

    def __init__(self, task: Callable[[], object]) -> None:
        super().__init__()
        self._task = task

    def do(self) -> None:
        if self.set_running_or_notify_cancel():
            try:
                self.set_result(self._task())
            except Exception as error:  # noqa: BLE001  raised to whoever waits
                self.set_exception(error)

    def result(self, timeout: float | None = None) -> Any:
        self._do_now()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._do_now()
        return super().exception(timeout)

    def _do_now(self) -> None:
        if not self.done() and not self.running():
            self.do()


class Hands(Executor):
    """Does what it is given when told."""

    def __init__(self) -> None:
        self.given: list[Work] = []

    def submit(self, fn, /, *args, **kwargs):
        self.given.append(Work(lambda: fn(*args, **kwargs)))
        return self.given[-1]

    def do_all(self) -> None:
        for work in self.given:
            if not work.done():
                work.do()


def job(id: str, **fields) -> Job:
    return Job(id, Edit(prompt=id, seed=1, **fields), ())


def pictures_by_job(engine, hands, jobs):
    """What the engine makes of `JOBS`, some of the work given to `hands` done after each."""
    events = []
    for number, (steps, count, done) in enumerate(jobs):
        engine.add(job(str(number), steps=steps, count=count))
        events += engine.step()
        for work in hands.given[:done]:
            work.exception()
    for _ in range(99):
        events += engine.step()
    assert engine.idle
    return {event.id: event.pictures for event in events if isinstance(event, Finished)}
