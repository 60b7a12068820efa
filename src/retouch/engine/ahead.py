"""Pictures made ready to open, on a thread beside the one that steps."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future

import structlog

from retouch.domain.edit import Edit
from retouch.domain.picture import Picture
from retouch.ports import Plan

Warm = Callable[[Plan, Edit, Sequence[Picture]], None]
"""A family's work ahead, which its `open` will find done. Called beside its verbs."""

log = structlog.get_logger(__name__)


class Ahead:
    """Has jobs that wait made ready while others step. Called from the thread that steps.

    What fails here is only logged: opening the picture will fail again, and tell.
    """

    def __init__(self, warm: Warm, executor: Executor) -> None:
        self._warm = warm
        self._executor = executor
        self._begun: dict[str, Future[None]] = {}

    def __contains__(self, id: str) -> bool:
        """Whether a job was begun and not forgotten since."""
        return id in self._begun

    def begin(self, id: str, plan: Plan, edit: Edit, images: Sequence[Picture]) -> None:
        """Have a job made ready, after those begun before it."""
        self._begun[id] = self._executor.submit(self._run, id, plan, edit, images)

    def is_under_way(self, id: str) -> bool:
        """Whether a job was begun and is not ready."""
        return id in self._begun and not self._begun[id].done()

    def wait(self, id: str) -> None:
        """Return once a job that was begun is ready."""
        self._begun[id].result()

    def forget(self, id: str) -> None:
        """Make a job ready no more, unless it is under way. Unknown ids are fine."""
        if id in self._begun:
            self._begun.pop(id).cancel()

    def _run(self, id: str, plan: Plan, edit: Edit, images: Sequence[Picture]) -> None:
        try:
            self._warm(plan, edit, images)
        except Exception:
            # Logged here and not kept: a traceback would hold on to tensors.
            log.warning("engine.ahead_failed", job=id, exc_info=True)
