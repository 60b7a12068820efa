"""A fal submit, in our words."""

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

from retouch.domain.edit import (
    AspectRatio,
    Edit,
    FileImage,
    ImageSource,
    Lora,
    MaskImage,
    OutputFormat,
    Size,
    UrlImage,
)
from retouch.domain.errors import InvalidEdit, NotFound, Violation
from retouch.domain.ids import from_uuid
from retouch.domain.prediction import FINAL, Webhook
from retouch.protocols.base import Call, Submission
from retouch.protocols.data_uri import is_data_uri
from retouch.protocols.fal.errors import RULES, refuse, violation
from retouch.protocols.fal.fields import (
    BY_NAME,
    CDN_HOSTS,
    HOSTS,
    MASK,
    MAX_PIXELS,
    PICTURES,
    QUEUE_HOSTS,
    REST_HOSTS,
    RUN_HOSTS,
    SIZES,
)
from retouch.protocols.pictures import echoed, inline, our_file, texts_in
from retouch.protocols.schema import faults, in_order, is_web_address, known
from retouch.protocols.values import shown

RUN_WAIT_S = 86_400.0  # a run is held to its end; its clients set no read timeout
QUALITY = 95
STREAM = "/stream"
WEBHOOK, MAX_QUEUE = "fal_webhook", "fal_max_queue_length"
START_WITHIN = ("x-fal-request-start-timeout", "x-fal-request-timeout")
"""The header, and the older name that its clients still send."""
MIN_PATIENCE_S = 0.1
SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
COUNT = re.compile(r"[0-9]{1,9}")
LOW = -1  # behind everything of normal priority
FLAGS = {"true": True, "false": False}


def submission_of(call: Call) -> Submission:
    name = model_of(call)
    if name not in BY_NAME:
        raise NotFound("model", name)
    body = call.json()
    if not isinstance(body, dict):
        refuse("", "dict_type", "Input should be a valid dictionary", body)
    schema = BY_NAME[name].schema
    fields = {field: _lenient(schema, field, value) for field, value in known(schema, body).items()}
    broken = [violation(fault) for fault in faults(schema, fields)]
    broken += _extra_rules(fields, {it.field.partition(".")[0] for it in broken})
    pictures, echo = _pictures(call, fields, broken)
    beside = _query_faults(call)
    if broken or beside:
        raise InvalidEdit((*beside, *in_order(schema, broken)))
    timeout = _start_timeout(call)
    return Submission(
        model=name,
        input=echo,
        edit=_edit(schema, fields, pictures),
        wait_s=RUN_WAIT_S if is_run(call) else None,
        streams=call.path.endswith(STREAM),
        webhook=_webhook(call),
        max_queued=int(most) if (most := call.query.get(MAX_QUEUE)) else None,
        start_within_s=timeout and timeout[1],
        priority=LOW if call.headers.get("x-fal-queue-priority", "").lower() == "low" else 0,
    )


def model_of(call: Call) -> str:
    """The model an address names: everything under the mount, but for a stream's ending."""
    return call.path.removeprefix(call.mount).removesuffix(STREAM).strip("/")


def is_run(call: Call) -> bool:
    """Whether the caller means the surface that answers with the result itself."""
    host = call.headers.get("host", "").partition(":")[0].lower()
    return host in RUN_HOSTS or call.mount == "/run"


def target_of(url: str) -> str | None:
    """The address of ours that a browser's call means by its header; its host is never asked."""
    try:
        target = urlsplit(url)
    except ValueError:
        return None
    mounts = {QUEUE_HOSTS: "/queue", RUN_HOSTS: "/run", REST_HOSTS: "/rest", CDN_HOSTS: "/cdn"}
    mount = next((it for hosts, it in mounts.items() if (target.hostname or "") in hosts), None)
    if mount is None:
        return None
    return f"{mount}{target.path}" + (f"?{target.query}" if target.query else "")


def id_of(call: Call) -> str:
    return from_uuid(call.params["id"])


def wants_logs(call: Call) -> bool:
    return call.query.get("logs", "").lower() in ("1", "true")


def _query_faults(call: Call) -> list[Violation]:
    """What is wrong beside the body."""
    url, most = (call.query.get(name) for name in (WEBHOOK, MAX_QUEUE))
    broken = []
    if url and not is_web_address(url):
        words = "Value error, not an http(s) URL"
        broken.append((f"?{WEBHOOK}", "value_error", words, shown(url)))
    if most and not COUNT.fullmatch(most):
        words = "Input should be a valid integer, unable to parse string as an integer"
        broken.append((f"?{MAX_QUEUE}", "int_parsing", words, shown(most)))
    timeout = _start_timeout(call)
    if timeout and timeout[1] <= MIN_PATIENCE_S:
        words = f"Value error, must be seconds, more than {MIN_PATIENCE_S}"
        broken.append((timeout[0], "value_error", words, shown(call.headers[timeout[0]])))
    return [Violation(*it) for it in broken]


def _start_timeout(call: Call) -> tuple[str, float] | None:
    """The header that says how long to wait for a worker, and its seconds; 0 for no time."""
    name = next((name for name in START_WITHIN if call.headers.get(name)), None)
    if name is None:
        return None
    text = call.headers[name].strip()
    return name, float(text) if SECONDS.fullmatch(text) else 0.0


def _webhook(call: Call) -> Webhook | None:
    """Where the end is told, whatever it is."""
    url = call.query.get(WEBHOOK)
    return Webhook(url=url, tells=FINAL, origin=call.origin, mount=call.mount) if url else None


def _lenient(schema: Mapping[str, Any], name: str, value: Any) -> Any:
    """A value as fal's checks read it: numbers and flags may come as text, choices as numbers."""
    rules = schema["properties"][name]
    match rules.get("type"), value:
        case (("integer" | "number"), str()):
            return _number(value, rules["type"])
        case "boolean", str():
            return FLAGS.get(value.lower(), value)
        case "string", int() if "enum" in rules and not isinstance(value, bool):
            return str(value)
        case None, dict() if name == "image_size":
            return {side: value[side] for side in ("width", "height") if side in value}
        case _:
            return value


def _number(text: str, kind: str) -> Any:
    """The number a text spells, or the text."""
    try:
        number = int(text) if kind == "integer" else float(text)
    except ValueError:
        return text
    return number if isfinite(number) else text


def _extra_rules(fields: Mapping[str, Any], broken: set[str]) -> list[Violation]:
    """What the schemas cannot say, of fields they found no fault with."""
    rules = []
    for number, lora in enumerate(fields.get("loras") or () if "loras" not in broken else ()):
        try:
            Lora(lora["path"])
        except ValueError as error:
            words = f"Value error, {error}"
            rules.append((f"loras.{number}.path", "value_error", words, shown(lora["path"])))
    if "image_size" in fields and "image_size" not in broken:
        size = _size(fields["image_size"])
        if size.width * size.height > MAX_PIXELS:
            words = f"Value error, more than {MAX_PIXELS} pixels"
            rules.append(("image_size", "value_error", words, f"{size.width}x{size.height}"))
    for name, value in fields.items():
        if any("\0" in text for text in texts_in(value)):
            words = "Value error, null characters are not allowed"
            rules.append((name, "value_error", words, shown(value)))
    return [Violation(*rule) for rule in rules if rule[0] not in broken]


# -- pictures ------------------------------------------------------------------------------------


def _pictures(
    call: Call, fields: Mapping[str, Any], broken: list[Violation]
) -> tuple[dict[str, list[ImageSource]], dict[str, Any]]:
    """The pictures of each field in order, and the fields with long data URIs put aside."""
    found: dict[str, list[ImageSource]] = {}
    echo = dict(fields)
    faulty = {it.field.partition(".")[0] for it in broken}
    for name in PICTURES:
        if name not in fields or name in faulty:
            continue
        is_list = isinstance(fields[name], list)
        kept, sources = [], found.setdefault(name, [])
        for number, text in enumerate(texts_in(fields[name])):
            try:
                source = _source(call, text)
            except ValueError:
                field = f"{name}.{number}" if is_list else name
                broken.append(Violation(field, *RULES["format"], shown(text)))
                continue
            sources.append(source)
            kept.append(echoed(text, source))
        echo[name] = kept if is_list else kept[0] if kept else None
    return found, echo


def _source(call: Call, text: str) -> ImageSource:
    """One picture; raises ValueError for a data URI that is none."""
    if is_data_uri(text):
        return inline(text)
    address = urlsplit(text)
    is_here = address.netloc.lower() == urlsplit(call.origin).netloc.lower()
    file_id = our_file(address, is_here=is_here and address.hostname not in HOSTS)
    return UrlImage(text) if file_id is None else FileImage(file_id)


# -- the edit ------------------------------------------------------------------------------------


def _edit(
    schema: Mapping[str, Any],
    fields: Mapping[str, Any],
    pictures: Mapping[str, Sequence[ImageSource]],
) -> Edit:
    """The canonical request. Steps and guidance are the weights' choice unless sent."""

    def value(name: str) -> Any:
        return fields.get(name, schema["properties"].get(name, {}).get("default"))

    ratio = value("aspect_ratio") or value("resolution_mode")
    unchecked = value("enable_safety_checker") is False
    steps, guidance, seed = (
        fields.get(name) for name in ("num_inference_steps", "guidance_scale", "seed")
    )
    return Edit(
        prompt=fields["prompt"],
        images=tuple(it for name in PICTURES if name != MASK for it in pictures.get(name, ())),
        aspect_ratio=AspectRatio.parse(ratio) if ":" in (ratio or "") else None,
        size=_size(value("image_size")) if "image_size" in schema["properties"] else None,
        output_format=OutputFormat(value("output_format")),
        output_quality=QUALITY,
        count=int(value("num_images")),
        seed=None if seed is None else int(seed),
        guidance=None if guidance is None else float(guidance),
        steps=None if steps is None else int(steps),
        safety_tolerance=6 if unchecked else int(value("safety_tolerance") or 2),
        prompt_upsampling=bool(value("enhance_prompt")),
        loras=tuple(Lora(it["path"], float(it.get("scale", 1))) for it in value("loras") or ()),
        mode="exact" if (value("acceleration") or "none") == "none" else "fast",
        mask=_mask(pictures[MASK][0], value("strength")) if MASK in pictures else None,
    )


def _mask(image: ImageSource, strength: float) -> MaskImage:
    """White is to change; the model sees the reference in the place of the picture."""
    return MaskImage(image, "white", may_stretch=True, strength=float(strength), hides=True)


def _size(value: Any) -> Size:
    if isinstance(value, str):
        return Size(*SIZES[value])
    return Size(int(value.get("width", 512)), int(value.get("height", 512)))
