"""The events of a stream: previews while the pictures are made, then each picture, or an error."""

from collections.abc import Iterator
from typing import Any

import msgspec

from retouch.domain.prediction import Status
from retouch.protocols.base import Answer, Call, ServerEvent, View
from retouch.protocols.openai.errors import failed
from retouch.protocols.openai.render import usage


def partial_images(call: Call, view: View, shown: int) -> Iterator[ServerEvent]:
    """An event for each preview after those already shown."""
    it = view.prediction
    for number, preview in enumerate(view.previews[shown:], shown):
        about = {
            "partial_image_index": number,
            "created_at": int(it.started_at or it.created_at),
            "size": view.input.get("size", "auto"),
        }
        yield _event(call, "partial_image", view, preview, about)


def ended(call: Call, view: View) -> Iterator[ServerEvent]:
    """The events that end a stream; none while the prediction goes on."""
    it = view.prediction
    if it.status is Status.SUCCEEDED:
        for output, picture in zip(it.outputs, view.outputs, strict=True):
            about = {
                "created_at": int(it.completed_at or it.created_at),
                "size": f"{output.width}x{output.height}",
                "usage": usage(it, [output]),
            }
            yield _event(call, "completed", view, picture, about)
    elif it.status.is_final:
        yield error_event(failed(it))


def error_event(answer: Answer) -> ServerEvent:
    """An error after the stream began: the clients raise it with its message."""
    return ServerEvent("error", "", _json({"type": "error", **answer.body}))


def _event(call: Call, kind: str, view: View, picture: str, about: dict[str, Any]) -> ServerEvent:
    """`picture` is a data URI."""
    name = f"image_{'edit' if call.path.endswith('/edits') else 'generation'}.{kind}"
    said = {
        "type": name,
        "b64_json": picture.partition(",")[2],
        "quality": view.input.get("quality", "auto"),
        "background": "opaque",
        "output_format": view.prediction.edit.output_format.value,
        **about,
    }
    return ServerEvent(name, "", _json(said))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
