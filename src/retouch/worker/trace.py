"""The spans of one attempt at a prediction: its wait, its run, and the parts of the run."""

from typing import Any

from retouch.domain.prediction import Prediction
from retouch.ports import Tracer


class RunTrace:
    """One part follows another; the run begins with `prepare`."""

    def __init__(self, tracer: Tracer, prediction: Prediction, worker: str) -> None:
        facts: dict[str, Any] = {
            "prediction": prediction.id,
            "attempt": prediction.attempt,
            "worker": worker,
        }
        self._tracer = tracer
        started_at = prediction.started_at
        if prediction.attempt == 1 and started_at is not None:
            wait = tracer.begin("queue", prediction.trace, at=prediction.created_at, **facts)
            wait.end(at=max(started_at, prediction.created_at))
        self._run = tracer.begin("run", prediction.trace, **facts, model=prediction.model)
        self._part = tracer.begin("prepare", self._run.context)
        self._is_over = False

    def enter(self, part: str, *, steps: float = 0.0) -> None:
        """The part so far is over, having taken these steps of the engine; another begins."""
        if not self._is_over:
            facts: dict[str, Any] = {"steps": steps} if steps else {}
            self._part.end(**facts)
            self._part = self._tracer.begin(part, self._run.context)

    def end(self, outcome: str, error: str = "") -> None:
        """It is over. Safe to call twice: the first time counts."""
        if not self._is_over:
            self._is_over = True
            self._part.end(error=error)
            self._run.end(error=error, outcome=outcome)
