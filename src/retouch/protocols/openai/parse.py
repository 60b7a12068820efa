"""An OpenAI image request, in our words."""

import re
from collections.abc import Mapping
from typing import Any

from retouch.domain.edit import (
    AspectRatio,
    Edit,
    FileImage,
    ImageSource,
    InlineImage,
    MaskImage,
    OutputFormat,
    Size,
    UrlImage,
)
from retouch.domain.errors import InvalidEdit, Violation
from retouch.protocols.base import Call, Submission
from retouch.protocols.openai.body import Body, body_of
from retouch.protocols.openai.errors import invalid, missing, violation
from retouch.protocols.openai.fields import DEFAULT, MASK, MAX_IMAGES, SCHEMA, model_of
from retouch.protocols.schema import faults, known
from retouch.protocols.values import shown

WAIT_S = 595.0  # below the 600 s after which the official clients stop listening
SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
MULTIPLE = 16
MAX_SIDE = 4096
MAX_PIXELS = 4 * 1024 * 1024
UNSERVED = {
    "markup": "markup is not served; say in the prompt what to change",
}
"""What would be lost without a word if it were ignored."""


def submission_of(call: Call) -> Submission:
    """What a request means. Unknown fields are dropped."""
    body = body_of(call)
    said = {**{k: v for k, v in call.params.items() if k == "model"}, **body.fields}
    fields = known(SCHEMA, {name: said[name] for name in said if name != "image"})
    broken = [violation(fault) for fault in faults(SCHEMA, fields)]
    broken += _extra_rules(fields, {it.field for it in broken})
    broken += [
        Violation(name, "unsupported_value", f"Unsupported parameter '{name}': {words}.")
        for name, words in UNSERVED.items()
        if said.get(name)
    ]
    broken += _image_rules(call, body)
    if broken:
        raise InvalidEdit(tuple(broken))
    return Submission(
        model=model_of(fields.get("model", DEFAULT)),
        input={**fields, **_pictures(body)},
        edit=_edit(fields, body),
        wait_s=_wait_s(call),
        streams=fields.get("stream", False),
        is_retry=call.headers.get("x-stainless-retry-count", "0") not in ("", "0"),
    )


def _extra_rules(fields: Mapping[str, Any], broken: set[str]) -> list[Violation]:
    found = [
        invalid(name, "it must not hold null characters", shown(value))
        for name, value in fields.items()
        if isinstance(value, str) and "\0" in value
    ]
    size = fields.get("size", "auto")
    rule = "size" not in broken and _broken_by(size)
    return [*found, invalid("size", rule, shown(size))] if rule else found


def _broken_by(text: str) -> str:
    """The rule that a size breaks; empty when it keeps them all."""
    if text == "auto":
        return ""
    sides = SIZE.fullmatch(text)
    if sides is None:
        return "expected 'auto' or WIDTHxHEIGHT, such as '1024x1024'"
    width, height = int(sides[1]), int(sides[2])
    if width % MULTIPLE or height % MULTIPLE or not (width and height):
        return f"width and height must be multiples of {MULTIPLE}"
    if width > 3 * height or height > 3 * width:
        return "it must be between 1:3 and 3:1"
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        return f"it must have at most {MAX_SIDE} a side and {MAX_PIXELS} pixels in all"
    return ""


def _image_rules(call: Call, body: Body) -> list[Violation]:
    if not body.images and call.path.endswith("/edits"):
        return [missing("image")]
    if not body.images and body.mask:
        return [invalid(MASK, "it needs an 'image' that it is of")]
    if len(body.images) > MAX_IMAGES:
        rule = f"expected at most {MAX_IMAGES} pictures"
        return [invalid("image", rule, len(body.images), "array_above_max_length")]
    return []


def _pictures(body: Body) -> dict[str, Any]:
    """The pictures, as fields to record."""
    images = {"image": [_echo(it) for it in body.images]} if body.images else {}
    return {**images, **({MASK: _echo(body.mask)} if body.mask else {})}


def _echo(image: ImageSource) -> Any:
    """A picture as it is recorded; bytes are put aside."""
    match image:
        case UrlImage(url):
            return url
        case FileImage(file_id):
            return file_id
        case InlineImage():
            return image
        case _:
            return None


def _edit(fields: Mapping[str, Any], body: Body) -> Edit:
    sides = SIZE.fullmatch(fields.get("size", "auto"))
    ratio = None if sides else fields.get("aspect_ratio")
    guidance = fields.get("guidance_scale")

    def whole(name: str) -> int | None:
        return None if fields.get(name) is None else int(fields[name])

    return Edit(
        prompt=fields["prompt"],
        images=body.images,
        mask=None if body.mask is None else MaskImage(body.mask, "transparent"),
        aspect_ratio=None if ratio is None else AspectRatio.parse(ratio),
        size=Size(int(sides[1]), int(sides[2])) if sides else None,
        output_format=OutputFormat(fields.get("output_format", "png")),
        output_quality=max(1, int(fields.get("output_compression", 100))),
        count=int(fields.get("n", 1)),
        previews=int(fields.get("partial_images", 0)) if fields.get("stream") else 0,
        seed=whole("seed"),
        guidance=None if guidance is None else float(guidance),
        steps=whole("num_inference_steps"),
        safety_tolerance=int(fields.get("safety_tolerance", 2)),
    )


def _wait_s(call: Call) -> float:
    """How long the answer may be held: until shortly before the client stops listening."""
    try:
        timeout = float(call.headers.get("x-stainless-read-timeout", "nan"))
    except ValueError:
        return WAIT_S
    return min(WAIT_S, max(timeout - 5, timeout / 2)) if timeout > 0 else WAIT_S
