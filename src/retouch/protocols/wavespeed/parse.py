"""A WaveSpeed submit, in our words: a flat body whose model stands in the path."""

import re
from collections.abc import Mapping
from typing import Any

from retouch.domain.edit import (
    AspectRatio,
    Edit,
    ImageSource,
    Lora,
    OutputFormat,
    Size,
    UrlImage,
)
from retouch.domain.errors import InvalidEdit, NotFound, Violation
from retouch.protocols.base import Call, Model, Submission
from retouch.protocols.data_uri import is_data_uri
from retouch.protocols.pictures import echoed, inline, texts_in
from retouch.protocols.schema import faults, in_order, known, type_name
from retouch.protocols.values import shown
from retouch.protocols.wavespeed.errors import invalid, refuse, violation
from retouch.protocols.wavespeed.fields import (
    BY_NAME,
    MAX_SIDE,
    MIN_SIDE,
    SYNC_WINDOW_S,
    TaskCode,
)
from retouch.protocols.wavespeed.webhooks import webhook_faults, webhook_of

MOST_PERMISSIVE = 6
DIGITS = re.compile(r"-?\d{1,20}")


def submission_of(call: Call) -> Submission:
    model = _chosen(call)
    body = body_of(call)
    fields = _as_numbers(known(model.schema, body))
    broken = [violation(fault) for fault in faults(model.schema, fields)]
    broken += _extra_rules(fields, {it.field.partition(".")[0] for it in broken})
    images, echo = _images(model.schema, fields, broken)
    beside = webhook_faults(call, body)
    if broken or beside:
        raise InvalidEdit((*beside, *in_order(model.schema, broken)))
    return Submission(
        model=model.name,
        input=echo,
        edit=_edit(model, fields, images),
        wait_s=SYNC_WINDOW_S if fields.get("enable_sync_mode") else None,
        webhook=webhook_of(call, body),
    )


def body_of(call: Call) -> dict[str, Any]:
    """The body, which must be an object."""
    body = call.json()
    if not isinstance(body, dict):
        words = f"The request body must be an object, not of type {type_name(body)}"
        refuse(Violation("", str(TaskCode.INVALID.value), words))
    return body


def _chosen(call: Call) -> Model:
    name = call.path.removeprefix(call.mount).strip("/")
    if name not in BY_NAME:
        raise NotFound("model", name)
    return BY_NAME[name]


def _as_numbers(fields: dict[str, Any]) -> dict[str, Any]:
    """Older callers spell this one as text."""
    tolerance = fields.get("safety_tolerance")
    if isinstance(tolerance, str) and DIGITS.fullmatch(tolerance.strip()):
        fields["safety_tolerance"] = int(tolerance)
    return fields


def _extra_rules(fields: Mapping[str, Any], faulty: set[str]) -> list[Violation]:
    """What a JSON Schema does not say."""
    broken = []
    if "size" in fields and "size" not in faulty:
        size = _size(fields["size"])
        if not all(MIN_SIDE <= side <= MAX_SIDE for side in (size.width, size.height)):
            rule = f"width and height must each be {MIN_SIDE} to {MAX_SIDE}"
            broken.append(invalid("size", rule, shown(fields["size"])))
    for number, lora in enumerate(fields.get("loras", ()) if "loras" not in faulty else ()):
        try:
            Lora(lora["path"])
        except ValueError as error:
            broken.append(invalid(f"loras.{number}.path", str(error), shown(lora["path"])))
    for name, value in fields.items():
        if any("\0" in text for text in texts_in(value)):
            broken.append(invalid(name, "must not contain null characters", shown(value)))
    return broken


def _images(
    schema: Mapping[str, Any], fields: Mapping[str, Any], broken: list[Violation]
) -> tuple[tuple[ImageSource, ...], dict[str, Any]]:
    """The pictures in order, and the fields with long data URIs put aside."""
    name = next((it for it in ("image", "images") if it in schema["properties"]), None)
    faulty = {it.field.partition(".")[0] for it in broken}
    if name is None or name not in fields or name in faulty:
        return (), dict(fields)
    texts = texts_in(fields[name])
    try:
        sources = [_source(text) for text in texts]
    except ValueError as error:
        words = str(error).rstrip(".").replace("The data URI", "the data URI")
        broken.append(invalid(name, words, shown(fields[name]), TaskCode.UNREADABLE))
        return (), dict(fields)
    kept = [echoed(text, source) for text, source in zip(texts, sources, strict=True)]
    return tuple(sources), {**fields, name: kept if name == "images" else kept[0]}


def _source(text: str) -> ImageSource:
    """One picture; raises ValueError for a data URI that is none."""
    return inline(text) if is_data_uri(text) else UrlImage(text)


def _size(text: str) -> Size:
    width, _, height = text.partition("*")
    return Size(int(width), int(height))


def _edit(model: Model, fields: Mapping[str, Any], images: tuple[ImageSource, ...]) -> Edit:
    """The canonical request. Steps and guidance are the weights' choice unless sent."""
    rules = model.schema["properties"]

    def value(name: str, otherwise: Any = None) -> Any:
        return fields.get(name, rules.get(name, {}).get("default", otherwise))

    ratio, size = value("aspect_ratio"), fields.get("size")
    seed, steps, guidance = (
        fields.get(name) for name in ("seed", "num_inference_steps", "guidance_scale")
    )
    checked = fields.get("enable_safety_checker", True)
    return Edit(
        prompt=fields["prompt"],
        images=images,
        aspect_ratio=AspectRatio.parse(ratio) if ratio else None,
        size=_size(size) if size else None,
        output_format=OutputFormat(value("output_format", "png")),
        count=int(value("num_images", 1)),
        seed=None if seed is None or seed < 0 else int(seed),
        guidance=None if guidance is None else float(guidance),
        steps=None if steps is None else int(steps),
        safety_tolerance=int(value("safety_tolerance", 2)) if checked else MOST_PERMISSIVE,
        loras=tuple(Lora(it["path"], float(it.get("scale", 1))) for it in value("loras", ())),
        mode="fast" if model.name.endswith("ultra-fast") else "exact",
    )
