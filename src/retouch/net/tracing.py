"""Spans for OpenTelemetry, sent where the `OTEL_*` variables say. Needs the extra `otel`."""

from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from retouch.ports import Span, Tracer

_W3C = TraceContextTextMapPropagator()
_KINDS = {"http": SpanKind.SERVER, "webhook": SpanKind.CLIENT}


class OtelTracer(Tracer):
    """The `Tracer` port over OpenTelemetry's SDK, which samples as `OTEL_TRACES_SAMPLER` says."""

    def __init__(self, service: str, processor: SpanProcessor) -> None:
        resource = Resource.create({"service.name": service})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("retouch")

    @classmethod
    def exporting(cls, service: str) -> "OtelTracer":
        """One that sends what it records in the background, by OTLP over HTTP."""
        return cls(service, BatchSpanProcessor(OTLPSpanExporter()))

    def begin(
        self, name: str, parent: str = "", *, at: float | None = None, **facts: str | float
    ) -> Span:
        """A parent that is no `traceparent` counts as none."""
        under = _W3C.extract({"traceparent": parent}, Context()) if parent else Context()
        kind = _KINDS.get(name, SpanKind.INTERNAL)
        begun = self._tracer.start_span(name, under, kind, _named(facts), start_time=_ns(at))
        return _OtelSpan(begun)

    def stop(self) -> None:
        """Send what is left; returns after the exporter's time-out at the latest."""
        self._provider.shutdown()


class _OtelSpan(Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def context(self) -> str:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(self._span, Context()))
        return carrier.get("traceparent", "")

    def end(self, *, at: float | None = None, error: str = "", **facts: str | float) -> None:
        self._span.set_attributes(_named(facts))
        if error:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end(_ns(at))


def _named(facts: Mapping[str, str | float]) -> dict[str, str | float]:
    return {f"retouch.{name}": value for name, value in facts.items()}


def _ns(at: float | None) -> int | None:
    return None if at is None else int(at * 1e9)
