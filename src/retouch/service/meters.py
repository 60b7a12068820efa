"""Metrics of a process, for Prometheus.

A web process answers `/metrics`; workers put their figures on the roster, and so does each web
process that is one of several, so that one answer has everybody's, labelled with its name. No
label ever holds a key, a prompt or an address's values.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from retouch.domain.prediction import Prediction, Status
from retouch.ports import Delivered, Enlisted, GiveUp, Outcome, Postpone, ProcessKind, Retry

log = structlog.get_logger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WORKER = "worker"  # the labels that say whose figure it is
PROCESS = "process"

LONG = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
STEP = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
REQUEST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# They would be a second series for every one, which nothing here reads.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Meters:
    """Metrics of every process: the moves that its own store made, and the process itself."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._predictions = Histogram(
            "retouch_prediction_seconds",
            "From a prediction's create to its end.",
            ["outcome"],
            buckets=LONG,
            registry=self.registry,
        )
        self._failures = Counter(
            "retouch_failures_total",
            "Predictions that failed, by the kind of failure.",
            ["kind"],
            registry=self.registry,
        )
        self._waits = Histogram(
            "retouch_queue_wait_seconds",
            "From a prediction's create to its first start.",
            buckets=LONG,
            registry=self.registry,
        )
        self._requeues = Counter(
            "retouch_requeues_total",
            "Predictions that went back to the queue, their worker lost or stopped.",
            registry=self.registry,
        )

    def moved(self, moved: Sequence[Prediction]) -> None:
        """Moves were made, and are on disk; these are the predictions after them."""
        for it in moved:
            if it.status is Status.QUEUED:
                self._requeues.inc()
            elif it.status is Status.RUNNING:
                if it.attempt == 1 and it.started_at is not None:
                    self._waits.observe(max(0.0, it.started_at - it.created_at))
            elif it.completed_at is not None:
                took_s = max(0.0, it.completed_at - it.created_at)
                self._predictions.labels(it.status.value).observe(took_s)
                if it.failure is not None:
                    self._failures.labels(it.failure.kind.value).inc()

    def figures(self) -> str:
        """Everything measured so far, for the roster."""
        return generate_latest(self.registry).decode()


class WebMeters(Meters):
    """Further metrics of a web process."""

    def __init__(self) -> None:
        super().__init__()
        route = ["route", "method"]
        self._requests = Counter(
            "retouch_http_requests_total",
            "Requests answered, by the address' template.",
            [*route, "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "retouch_http_request_seconds",
            "From a request's headers to the end of its answer; held and streamed ones too.",
            route,
            buckets=REQUEST,
            registry=self.registry,
        )
        self._refusals = Counter(
            "retouch_refusals_total",
            "Requests refused, by the kind of error.",
            ["kind"],
            registry=self.registry,
        )
        self._webhooks = Counter(
            "retouch_webhook_attempts_total",
            "Tries to deliver a webhook, by how they ended.",
            ["result"],
            registry=self.registry,
        )

        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, method: str, status: int, took_s: float, refusal: str) -> None:
        """A request ended; `refusal` is the kind of error it was refused with, if it was."""
        known = method if method in METHODS else "other"  # a caller may send any word
        # Looking a series up by its labels costs more than counting, and this is every request.
        series = self._series.get((route, known, status))
        if series is None:
            where = (route or "other", known)
            series = (
                self._requests.labels(*where, str(status)),
                self._request_seconds.labels(*where),
            )
            self._series[route, known, status] = series
        requests, seconds = series
        requests.inc()
        seconds.observe(took_s)
        if refusal:
            self._refusals.labels(refusal).inc()

    def tried(self, outcome: Outcome) -> None:
        """A webhook was tried."""
        match outcome:
            case Delivered():
                self._webhooks.labels("delivered").inc()
            case Retry():
                self._webhooks.labels("failed").inc()
            case GiveUp():
                self._webhooks.labels("given up").inc()
            case Postpone():
                return


class WorkerMeters(Meters):
    """Further metrics of a worker. `free_bytes` returns the free memory of its device."""

    def __init__(self, free_bytes: Callable[[], int | None] = lambda: None) -> None:
        super().__init__()
        self._steps = Histogram(
            "retouch_step_seconds",
            "One step of the engine, for all edits it carries.",
            buckets=STEP,
            registry=self.registry,
        )
        self._deaths = Counter(
            "retouch_decoder_deaths_total",
            "Image decoding processes that died or were ended, by the reason.",
            ["reason"],
            registry=self.registry,
        )
        self._free_bytes = free_bytes
        if free_bytes() is not None:
            free = Gauge(
                "retouch_device_free_bytes",
                "Memory that the engine's device could still give.",
                registry=self.registry,
            )
            free.set_function(lambda: self._free_bytes() or 0)

    def stepped(self, took_s: float) -> None:
        """The engine made a step."""
        self._steps.observe(took_s)

    def decoder_died(self, reason: str) -> None:
        """A decoding process is no more."""
        self._deaths.labels(reason).inc()


def exposition(
    meters: Meters,
    enlisted: Sequence[Enlisted],
    depth: Mapping[str, int] | None,
    oldest_wait_s: float | None,
    name: str = "",
) -> bytes:
    """All figures in Prometheus' text format: our own, everybody's on the roster, the queue's.

    `depth` is None when the database did not answer; then nothing is claimed of the queue.
    `name` is our own on the roster, where what we put there is older than what we know.
    """
    workers = {it.name: it.figures for it in enlisted if it.kind is ProcessKind.WORKER}
    webs = {it.name: it.figures for it in enlisted if it.kind is ProcessKind.WEB}
    if name:
        webs[name] = meters.figures()
    found = [
        *([] if name else meters.registry.collect()),
        *(family for it, text in webs.items() for family in _labelled(PROCESS, it, text)),
        *(family for it, text in workers.items() for family in _labelled(WORKER, it, text)),
        *_of_queue(depth, oldest_wait_s, len(workers)),
    ]
    return generate_latest(_Collected(found))


def _of_queue(
    depth: Mapping[str, int] | None, oldest_wait_s: float | None, workers: int
) -> Iterable[Metric]:
    yield GaugeMetricFamily(
        "retouch_database_up",
        "Whether the database answered this very request for figures.",
        value=float(depth is not None),
    )
    if depth is None:
        return
    statuses = GaugeMetricFamily(
        "retouch_queue_depth", "Predictions that are not over.", labels=["status"]
    )
    for status, count in depth.items():
        statuses.add_metric([status], count)
    yield statuses
    yield GaugeMetricFamily(
        "retouch_queue_oldest_wait_seconds",
        "For how long the longest waiting prediction has waited; 0 when none waits.",
        value=oldest_wait_s or 0.0,
    )
    yield GaugeMetricFamily("retouch_workers", "Workers that are up.", value=float(workers))


def _labelled(label: str, name: str, text: str) -> Sequence[Metric]:
    """Somebody's figures with the name on each; none when another version wrote them oddly."""
    try:
        families = list(text_string_to_metric_families(text))
    except ValueError:
        log.warning("metrics.unreadable", **{label: name})
        return ()
    for family in families:
        labelled = [it._replace(labels={**it.labels, label: name}) for it in family.samples]
        family.samples = labelled
    return families


class _Collected:
    """Families as one registry: those of one name are one family."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        joined: dict[str, Metric] = {}
        for family in self._families:
            into = joined.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            into.samples.extend(family.samples)
        return joined.values()
