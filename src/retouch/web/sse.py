"""Server-sent events: a prediction's last events once it is over, or each change of it, and
comments while there is nothing to tell."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

from starlette.responses import Response, StreamingResponse

from retouch.domain.prediction import Prediction
from retouch.protocols.base import Call, ServerEvent, View
from retouch.protocols.dialect import StreamDialect
from retouch.web.services import Services

KEEP_ALIVE_S = 15.0
LOOK_S = 0.5  # between looks at a prediction whose every change is told
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

ViewOf = Callable[[Prediction, View | None], Awaitable[View]]
"""What is to be shown of a prediction, given what was shown before."""


def stream(
    streams: StreamDialect, call: Call, prediction: Prediction, services: Services
) -> Response:
    """Follow a prediction to its end. A client that goes away changes nothing.

    One that comes back is told what followed `Last-Event-ID`; once that was the last event, 204 has
    a browser stop asking.
    """
    if prediction.status.is_final and not _final_events(streams, call, prediction, services):
        return Response(status_code=204, headers=HEADERS)
    events = _events(streams, call, prediction, services)
    return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)


async def _events(
    streams: StreamDialect, call: Call, prediction: Prediction, services: Services
) -> AsyncIterator[bytes]:
    follower = services.predictions
    yield b": following\n\n"
    while not prediction.status.is_final:
        over = await follower.wait(prediction.id, KEEP_ALIVE_S)
        if follower.is_released:
            return
        if over:
            prediction = await follower.get(prediction.id, None)
        else:
            yield b": still running\n\n"
    yield encode(_final_events(streams, call, prediction, services))


def _final_events(
    streams: StreamDialect, call: Call, prediction: Prediction, services: Services
) -> Sequence[ServerEvent]:
    """The events of a prediction's end that the caller has not seen."""
    events = streams.finale(call, services.views.of(prediction, call.origin))
    ids = [event.id for event in events]
    seen = call.headers.get("last-event-id", "")
    return events[ids.index(seen) + 1 :] if seen in ids else events


def follow(
    streams: StreamDialect,
    call: Call,
    prediction: Prediction,
    services: Services,
    view_of: ViewOf,
) -> Response:
    """Tell each change of a prediction until it is over."""
    events = _changes(streams, call, prediction, services, view_of)
    headers = {**HEADERS, **streams.headers(call, prediction)}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def _changes(
    streams: StreamDialect,
    call: Call,
    prediction: Prediction,
    services: Services,
    view_of: ViewOf,
) -> AsyncIterator[bytes]:
    follower, silent_s = services.predictions, 0.0
    before: View | None = None
    while True:
        view = await view_of(prediction, before)
        events = streams.changed(call, view, before)
        silent_s = 0.0 if events else silent_s + LOOK_S
        if events:
            yield encode(events)
        elif silent_s >= KEEP_ALIVE_S:
            silent_s = 0.0
            yield b": still running\n\n"
        if prediction.status.is_final:
            return
        await follower.wait(prediction.id, LOOK_S)
        if follower.is_released:
            if events := streams.interrupted(call, view):
                yield encode(events)
            return
        before, prediction = view, await follower.get(prediction.id, None)


def encode(events: Iterable[ServerEvent]) -> bytes:
    """Events as they travel; data of several lines becomes several `data:` lines."""
    blocks = []
    for event in events:
        data = "\n".join(f"data: {line}" for line in event.data.split("\n"))
        name = f"event: {event.event}\n" if event.event else ""
        id = f"id: {event.id}\n" if event.id else ""
        blocks.append(f"{name}{id}{data}\n\n")
    return "".join(blocks).encode()
