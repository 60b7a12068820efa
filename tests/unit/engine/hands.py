"""A thread that works when a test tells it to, or when somebody waits for it."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class Work(Future[Any]):
    """Done when somebody does it or waits for it."""

    def __init__(self, task: Callable[[], object]) -> None:
        super().__init__()
        self._task = task

    def do(self) -> None:
        if self.set_running_or_notify_cancel():
            try:
                self.set_result(self._task())
            except Exception as error:
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
