"""What moves, webhooks and requests become as figures."""

from dataclasses import replace

from retouch.domain.edit import Edit
from retouch.domain.prediction import NOT_STARTED, WORKER_LOST, Prediction, Status
from retouch.ports import Delivered, GiveUp, Postpone, Retry
from retouch.service.meters import Meters, WebMeters

QUEUED = Prediction(
    id="p",
    owner="ada",
    protocol="replicate",
    model="a/b",
    input={},
    edit=Edit(prompt="x"),
    created_at=100.0,
)
RUNNING = replace(QUEUED, status=Status.RUNNING, attempt=1, started_at=103.0)


def value(meters: Meters, name: str, **labels: str) -> float | None:
    return meters.registry.get_sample_value(name, labels)


def test_moves_become_waits_durations_and_requeues() -> None:
    meters = Meters()

    meters.moved([RUNNING])
    meters.moved([replace(RUNNING, attempt=2, started_at=150.0)])
    meters.moved([QUEUED])
    for status in (Status.SUCCEEDED, Status.SUCCEEDED, Status.CANCELED):
        meters.moved([replace(RUNNING, status=status, completed_at=107.5)])

    assert value(meters, "retouch_queue_wait_seconds_count") == 1  # the first start alone
    assert value(meters, "retouch_queue_wait_seconds_sum") == 3.0
    assert value(meters, "retouch_requeues_total") == 1
    assert value(meters, "retouch_prediction_seconds_count", outcome="succeeded") == 2
    assert value(meters, "retouch_prediction_seconds_sum", outcome="canceled") == 7.5


def test_failures_are_counted_by_their_kind() -> None:
    meters = Meters()
    failed = replace(RUNNING, status=Status.FAILED, completed_at=107.5)

    for failure in (WORKER_LOST, WORKER_LOST, NOT_STARTED):
        meters.moved([replace(failed, failure=failure)])

    kinds = ("worker_lost", "not_started")
    assert [value(meters, "retouch_failures_total", kind=it) for it in kinds] == [2, 1]
    assert value(meters, "retouch_prediction_seconds_count", outcome="failed") == 3


def test_clocks_that_disagree_make_no_negative_time() -> None:
    meters = Meters()

    meters.moved([replace(RUNNING, started_at=99.0)])

    assert value(meters, "retouch_queue_wait_seconds_sum") == 0.0


def test_tries_of_webhooks_are_counted_by_their_end() -> None:
    meters = WebMeters()

    for outcome in (Delivered(""), Retry(5, ""), Retry(5, ""), GiveUp(""), Postpone(5)):
        meters.tried(outcome)

    results = ("delivered", "failed", "given up")
    found = [value(meters, "retouch_webhook_attempts_total", result=it) for it in results]
    assert found == [1, 2, 1]
