"""One trace from the caller's request to its webhook, over the store, the worker and the sender."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from retouch.engine.engine import StepEngine
from retouch.engine.families.toy import ToyFamily
from retouch.logs import name_request
from retouch.net.tracing import OtelTracer
from retouch.ports import UNTRACED, Receipt, Tracer
from retouch.protocols import DIALECTS
from retouch.service.deliveries import Deliveries
from retouch.testing import FakeClock
from retouch.worker import Worker, WorkerOptions

CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "x-request-id": "mine-1"}
BODY = {"input": {"prompt": "my private prompt"}, "webhook": "https://hook.example/secret"}


class Post:
    """A courier whose receivers take everything."""

    def __init__(self) -> None:
        self.headers: list[Mapping[str, str]] = []

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Receipt:
        self.headers.append(headers)
        return Receipt(200)


class Nothing:
    """A fetcher and decoder that nobody asks."""

    async def fetch(self, url: str, what: str = "image") -> bytes:
        raise AssertionError(url)

    async def decode(self, data: bytes) -> Any:
        raise AssertionError(data)


async def edit_and_tell(front: Any, tracer: Tracer) -> Post:
    """Create over HTTP, run by a worker, tell the webhook."""
    front.services = replace(front.services, tracer=tracer)
    async with front.serving():
        made = (await front.client.post(CREATE, json=BODY, headers=CALLER)).json()
        worker = Worker(
            "w1",
            store=front.store,
            blobs=front.blobs,
            fetcher=Nothing(),
            decoder=Nothing(),
            engine=StepEngine(ToyFamily(), clock=FakeClock()),
            options=WorkerOptions(beat_s=0.01, poll_s=0.01),
            tracer=tracer,
        )
        running = asyncio.create_task(worker.run())
        await front.services.predictions.wait(made["id"], 60)
        worker.stop()
        await running
        post = Post()
        sender = Deliveries(
            store=front.store,
            outbox=front.store,
            dialects=DIALECTS,
            views=front.services.views,
            signer=front.services.signer,
            courier=post,
            clock=front.clock,
            random=lambda: 0.0,
            tracer=tracer,
        )
        await sender.turn()
        await sender.drain()
    return post


async def test_one_trace_leads_from_the_caller_to_its_webhook(new_front: Any) -> None:
    sent = InMemorySpanExporter()
    tracer = OtelTracer("retouch", SimpleSpanProcessor(sent))

    post = await edit_and_tell(new_front(), tracer)

    spans: dict[str, ReadableSpan] = {span.name: span for span in sent.get_finished_spans()}
    names = {span.context.span_id: name for name, span in spans.items()}
    parents = {name: names.get(span.parent.span_id) for name, span in spans.items()}
    assert parents == {
        "http": None,  # under the caller's own span
        "queue": "http",
        "run": "http",
        "prepare": "run",
        "steps": "run",
        "store": "run",
        "webhook": "http",
    }
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {TRACE}
    assert spans["steps"].attributes["retouch.steps"] > 0
    assert spans["run"].attributes["retouch.outcome"] == "succeed"
    assert spans["http"].attributes["retouch.address"].endswith("/predictions")
    assert post.headers[0]["traceparent"].split("-")[1] == TRACE
    told = repr([(span.name, dict(span.attributes)) for span in spans.values()])
    assert "private" not in told
    assert "secret" not in told


async def test_untraced_nothing_is_stored_or_sent(new_front: Any) -> None:
    front = new_front()

    post = await edit_and_tell(front, UNTRACED)

    (prediction,) = await front.store.page(None, limit=1)
    assert prediction.trace == ""
    assert "traceparent" not in post.headers[0]


async def test_log_lines_lead_from_the_request_to_its_webhook(new_front: Any) -> None:
    with structlog.testing.capture_logs(processors=[name_request]) as it:
        await edit_and_tell(new_front(), UNTRACED)

    lines = {line["event"]: line for line in it}
    id = lines["prediction.accepted"]["prediction"]
    assert lines["http.request"]["request"] == "mine-1"
    assert lines["prediction.accepted"]["request"] == "mine-1"
    moved = lines["prediction.moved"]
    named = [moved[name] for name in ("prediction", "attempt", "worker", "request")]
    assert named == [id, 1, "w1", "mine-1"]
    told = lines["webhook.delivered"]
    assert (told["prediction"], told["attempt"]) == (id, 1)
