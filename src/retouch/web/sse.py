"""Server-sent events: a prediction's last events once it is over, and comments until then."""

from collections.abc import AsyncIterator, Iterable

from starlette.responses import Response, StreamingResponse

from retouch.domain.prediction import Prediction
from retouch.protocols.base import Call, Dialect, ServerEvent
from retouch.web.services import Services

KEEP_ALIVE_S = 15.0
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


def stream(dialect: Dialect, call: Call, prediction: Prediction, services: Services) -> Response:
    """Follow a prediction to its end. A client that goes away changes nothing."""
    events = _events(dialect, call, prediction, services)
    return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)


async def _events(
    dialect: Dialect, call: Call, prediction: Prediction, services: Services
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
    view = services.views.of(prediction, call.origin)
    yield encode(dialect.finale(call, view))


def encode(events: Iterable[ServerEvent]) -> bytes:
    """Events as they travel; data of several lines becomes several `data:` lines."""
    blocks = []
    for event in events:
        data = "\n".join(f"data: {line}" for line in event.data.split("\n"))
        blocks.append(f"event: {event.event}\nid: {event.id}\n{data}\n\n")
    return "".join(blocks).encode()
