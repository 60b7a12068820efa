"""The events of a stream: previews while the pictures are made, then each picture, or an error."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from retouch.domain.prediction import Status
from retouch.protocols.base import Answer, Call, ServerEvent, View
from retouch.protocols.dialect import StreamDialect
from retouch.protocols.openai.errors import failed
from retouch.protocols.openai.render import usage


class Streams(StreamDialect):
    """Previews, and the end."""

    shows_previews = True

    def changed(self, call: Call, view: View, before: View | None) -> Sequence[ServerEvent]:
        shown = len(before.previews) if before else 0
        return [*_partial_images(call, view, shown), *_ended(call, view)]

    def interrupted(self, call: Call, view: View) -> Sequence[ServerEvent]:
        return [_error_event(failed(view.prediction))]


def _partial_images(call: Call, view: View, shown: int) -> Iterator[ServerEvent]:
    """An event for each preview after those already shown."""
    it = view.prediction
    for number, preview in enumerate(view.previews[shown:], shown):
        about = {
            "partial_image_index": number,
            "created_at": int(it.started_at or it.created_at),
            "size": view.input.get("size", "auto"),
        }
        yield _event(call, "partial_image", view, preview, about)


def _ended(call: Call, view: View) -> Iterator[ServerEvent]:
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
        yield _error_event(failed(it))


def _error_event(answer: Answer) -> ServerEvent:
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
