"""Spans as OpenTelemetry gets them, and when there are any at all."""

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from retouch.net.tracing import OtelTracer
from retouch.ports import UNTRACED
from retouch.settings import traced_as

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


def test_a_span_continues_its_callers_trace() -> None:
    sent = InMemorySpanExporter()
    tracer = OtelTracer("retouch", SimpleSpanProcessor(sent))

    outer = tracer.begin("http", CALLER, request="r1")
    tracer.begin("queue", outer.context, at=100.5).end(at=103.0)
    outer.end(error="answered 500", status=500)

    queue, http = sent.get_finished_spans()
    assert f"{http.context.trace_id:x}" == CALLER.split("-")[1].lstrip("0")
    assert f"{http.parent.span_id:016x}" == CALLER.split("-")[2]
    assert queue.parent.span_id == http.context.span_id
    assert (queue.start_time, queue.end_time) == (100_500_000_000, 103_000_000_000)
    assert dict(http.attributes) == {"retouch.request": "r1", "retouch.status": 500}
    assert http.status.status_code is StatusCode.ERROR
    assert (http.kind, queue.kind) == (SpanKind.SERVER, SpanKind.INTERNAL)
    assert http.resource.attributes["service.name"] == "retouch"


def test_a_parent_that_is_none_of_the_standard_begins_a_new_trace() -> None:
    sent = InMemorySpanExporter()
    tracer = OtelTracer("retouch", SimpleSpanProcessor(sent))

    for parent in ("", "rubbish", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"):
        tracer.begin("http", parent).end()

    assert [span.parent for span in sent.get_finished_spans()] == [None] * 3


def test_spans_are_recorded_only_when_the_environment_says_where_to_send_them() -> None:
    assert traced_as({}) is None
    assert traced_as({"OTEL_SERVICE_NAME": "edits"}) is None
    assert traced_as(ENDPOINT) == "retouch"
    assert traced_as({**ENDPOINT, "OTEL_SERVICE_NAME": "edits"}) == "edits"
    assert traced_as({**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}) is None
    assert traced_as({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}) is None


def test_without_them_nothing_is_made() -> None:
    span = UNTRACED.begin("http", CALLER, request="r1")
    span.end(status=200)

    assert span.context == ""
    assert UNTRACED.begin("queue") is span
