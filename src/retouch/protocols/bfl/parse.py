"""A BFL create request, in our words."""

import re
from collections.abc import Mapping
from typing import Any

from retouch.domain.edit import (
    MAX_SEED,
    AspectRatio,
    Edit,
    ImageSource,
    InlineImage,
    OutputFormat,
    UrlImage,
)
from retouch.domain.errors import InvalidEdit, Violation
from retouch.protocols.base import Call, Submission
from retouch.protocols.bfl.errors import refuse, violation
from retouch.protocols.bfl.fields import IMAGES, SCHEMA, USAGE
from retouch.protocols.bfl.webhooks import SECRET, URL, webhook_faults, webhook_of
from retouch.protocols.data_uri import is_data_uri
from retouch.protocols.pictures import inline
from retouch.protocols.schema import faults, is_uri, known
from retouch.protocols.values import shown

MORE_IMAGES = re.compile(r"input_image_\d+")


def submission_of(call: Call, model: str) -> Submission:
    """What a create means. Unknown fields are dropped, as the published schema allows."""
    body = _body(call)
    fields = known(SCHEMA, body)
    broken = [violation(fault) for fault in faults(SCHEMA, fields)]
    broken += _extra_rules(fields, {it.field for it in broken})
    broken += webhook_faults(fields, {it.field for it in broken})
    broken += _unsupported(body)
    images = _images(fields, broken)
    if broken:
        raise InvalidEdit(tuple(broken))
    told = {name: value for name, value in fields.items() if name not in (URL, SECRET)}
    return Submission(
        model=model,
        input={**told, **_aside(images)},
        edit=_edit(fields, tuple(images.values())),
        webhook=webhook_of(call, fields),
    )


def usage_body(call: Call) -> dict[str, Any]:
    """A report of use, checked and then forgotten: nothing is licensed here."""
    fields = known(USAGE, _body(call))
    broken = [violation(fault) for fault in faults(USAGE, fields)]
    if broken:
        raise InvalidEdit(tuple(broken))
    words = "This server licenses nothing and keeps no such reports."
    return {"model": call.params["slug"], **fields, "detail": words}


def _body(call: Call) -> Mapping[str, Any]:
    body = call.json()
    if not isinstance(body, dict):
        refuse("", "model_attributes_type", "Input should be a valid dictionary or object", body)
    return body


def _extra_rules(fields: Mapping[str, Any], broken: set[str]) -> list[Violation]:
    """Rules that the schema lacks, checked on fields that it accepts."""
    found = []
    for name, value in fields.items():
        if isinstance(value, str) and "\0" in value:
            words = "Value error, must not contain null characters"
            found.append(Violation(name, "value_error", words, shown(value)))
    if "aspect_ratio" in fields and "aspect_ratio" not in broken:
        width, height = map(int, fields["aspect_ratio"].split(":"))
        if not (0 < 9 * height <= 21 * width and 9 * width <= 21 * height):
            words = "Value error, must be between 21:9 and 9:21"
            found.append(Violation("aspect_ratio", "value_error", words, fields["aspect_ratio"]))
    return found


def _unsupported(body: Mapping[str, Any]) -> list[Violation]:
    """Fields that must be refused, because ignoring them would lose a picture silently."""
    words = f"Value error, at most {len(IMAGES)} images are accepted"
    return [
        Violation(name, "value_error", words, shown(value))
        for name, value in body.items()
        if MORE_IMAGES.fullmatch(name) and name not in IMAGES and value is not None
    ]


def _images(fields: Mapping[str, Any], broken: list[Violation]) -> dict[str, ImageSource]:
    """The pictures by field, in order; what is none is added to `broken`."""
    faulty = {it.field for it in broken}
    found: dict[str, ImageSource] = {}
    for name in IMAGES:
        if name not in fields or name in faulty:
            continue
        try:
            found[name] = _source(fields[name])
        except ValueError:
            words = "Value error, must be an http(s) URL, base64 or a data URI"
            broken.append(Violation(name, "value_error", words, shown(fields[name])))
    return found


def _source(text: str) -> ImageSource:
    """One picture; raises ValueError for what cannot be one."""
    if text[:7].lower() == "http://" or text[:8].lower() == "https://":
        if not is_uri(text):
            raise ValueError("The text is not a URL.")
        return UrlImage(text)
    picture = inline(text if is_data_uri(text) else f"data:;base64,{text}")
    if not picture.data:
        raise ValueError("The picture is empty.")
    return picture


def _aside(images: Mapping[str, ImageSource]) -> dict[str, InlineImage]:
    """The pictures that came inside the body: too long to keep among the fields."""
    return {name: it for name, it in images.items() if isinstance(it, InlineImage)}


def _edit(fields: Mapping[str, Any], images: tuple[ImageSource, ...]) -> Edit:
    ratio, seed = fields.get("aspect_ratio"), fields.get("seed")
    steps, guidance = fields.get("steps"), fields.get("guidance")
    return Edit(
        prompt=fields["prompt"],
        images=images,
        aspect_ratio=None if ratio is None else AspectRatio.parse(ratio),
        output_format=OutputFormat(fields.get("output_format", "png")),
        seed=None if seed is None else int(seed) % (MAX_SEED + 1),  # folded into ours
        guidance=None if guidance is None else float(guidance),
        steps=None if steps is None else int(steps),
        safety_tolerance=int(fields.get("safety_tolerance", 2)),
        prompt_upsampling=fields.get("prompt_upsampling", False),
    )
