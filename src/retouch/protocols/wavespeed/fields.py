"""WaveSpeed's field names, the rules of each model's input, its status words and task codes."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

from retouch.domain.failure import BAD_INPUT, BLOCKED, FailureKind
from retouch.domain.prediction import Status
from retouch.protocols.base import Model

NAME = "wavespeed"
HOSTS = frozenset({"api.wavespeed.ai"})

RATIOS = ["21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21"]
UPLOAD_LIMIT_BYTES = 100 * 1024 * 1024
MAX_SEED = 2**31 - 1
SYNC_WINDOW_S = 90.0
MIN_SIDE, MAX_SIDE = 256, 1536  # pixels, each side of `size`
HIDDEN = "x-hidden"
"""Marks a field that older callers send and the catalogue no longer shows."""


class TaskCode(IntEnum):
    """What became of a task, beside its status."""

    MODERATED = 1200
    MISSING = 1400
    INVALID = 1401
    UNREADABLE = 1402
    FAILED = 1405
    INTERNAL = 5000
    UNAVAILABLE = 5003
    SYNC_EXPIRED = 5004


TASK_CODES = {
    **dict.fromkeys(BLOCKED, TaskCode.MODERATED),
    **dict.fromkeys(BAD_INPUT, TaskCode.UNREADABLE),
    FailureKind.INVALID: TaskCode.INVALID,
    FailureKind.WORKER_LOST: TaskCode.UNAVAILABLE,
    FailureKind.WORKER_CRASHED: TaskCode.UNAVAILABLE,
}
"""The codes of kinds of failure; any other is FAILED."""

STATUS_WORDS = {
    Status.QUEUED: "created",
    Status.RUNNING: "processing",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    Status.CANCELED: "failed",  # older clients know no other word for the end, and poll on
}


def _schema(required: Sequence[str], **fields: Mapping[str, Any]) -> dict[str, Any]:
    """A model's request schema, its fields numbered in the order given."""
    properties = {
        name: {"x-order": order, **rules} for order, (name, rules) in enumerate(fields.items())
    }
    return {"type": "object", "required": list(required), "properties": properties}


def _flag(description: str, *, default: bool = False) -> dict[str, Any]:
    return {"type": "boolean", "default": default, "description": description}


def _pictures(most: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": "string", "format": "uri"},
        "minItems": 1,
        "maxItems": most,
        "description": "The pictures, in the order the prompt speaks of them.",
        **more,
    }


def _number(kind: str, description: str, default: float, low: int, high: int) -> dict[str, Any]:
    bounds = {"minimum": low, "maximum": high}
    return {"type": kind, "default": default, **bounds, "description": description}


PROMPT = {"type": "string", "description": "What to change, or what to make."}
IMAGE = {"type": "string", "format": "uri", "description": "The picture to edit."}
SEED = {
    "type": "integer",
    "minimum": -1,
    "maximum": MAX_SEED,
    "description": "Repeats a result. Drawn at random when -1 or left out.",
}
RATIO = {"type": "string", "enum": RATIOS, "description": "The shape; the input's if left out."}
SQUARE = {"type": "string", "enum": RATIOS, "default": "1:1", "description": "The shape."}
GUIDANCE = _number("number", "How strongly to follow the prompt.", 3.5, 1, 20)
COUNT = _number("integer", "How many pictures to make.", 1, 1, 4)
SYNC = _flag("Hold the answer until the task has ended.")
BASE64 = _flag("Answer pictures as base64 text instead of links.")
TOLERANCE = {
    "type": "integer",
    "minimum": 1,
    "maximum": 5,
    "default": 2,
    "description": "1 is the strictest, 5 the most permissive.",
}
OLDER = {
    "safety_tolerance": {**TOLERANCE, HIDDEN: True},
    "enable_base64_output": {**BASE64, HIDDEN: True},
}

PRO_MULTI = _schema(
    ["prompt", "images"],
    prompt=PROMPT,
    images=_pictures(8, default=[]),
    seed=SEED,
    guidance_scale=GUIDANCE,
    aspect_ratio=RATIO,
    enable_sync_mode=SYNC,
    **OLDER,
)
MAX_MULTI = _schema(
    ["prompt", "images"],
    prompt=PROMPT,
    images=_pictures(8, default=[]),
    guidance_scale=GUIDANCE,
    aspect_ratio=RATIO,
    enable_sync_mode=SYNC,
    **OLDER,
)
PRO = _schema(
    ["prompt", "image"],
    prompt=PROMPT,
    image=IMAGE,
    guidance_scale=GUIDANCE,
    aspect_ratio=RATIO,
    enable_sync_mode=SYNC,
    **OLDER,
)
TEXT = _schema(
    ["prompt"],
    prompt=PROMPT,
    aspect_ratio=SQUARE,
    num_images=COUNT,
    seed=SEED,
    guidance_scale=GUIDANCE,
    safety_tolerance=TOLERANCE,
    enable_sync_mode=SYNC,
    enable_base64_output=OLDER["enable_base64_output"],
)


def _dev(low_guidance: int = 1, **pictures: Mapping[str, Any]) -> dict[str, Any]:
    """The open weights' rules around a model's own fields."""
    name = next(iter(pictures))
    return _schema(
        ["prompt", name],
        prompt=PROMPT,
        **pictures,
        size={
            "type": "string",
            "pattern": r"^\d{1,5}\*\d{1,5}$",
            "description": f"WIDTH*HEIGHT, each {MIN_SIDE} to {MAX_SIDE}; the input's if left out.",
        },
        num_inference_steps=_number("integer", "Denoising steps.", 28, 1, 50),
        guidance_scale=_number("number", GUIDANCE["description"], 2.5, low_guidance, 20),
        num_images=COUNT,
        seed={**SEED, "default": -1},
        output_format={
            "type": "string",
            "enum": ["jpeg", "png", "webp"],
            "default": "jpeg",
            "description": "The file format of the result.",
        },
        enable_base64_output=BASE64,
        enable_safety_checker=_flag("Check the prompt and the result.", default=True),
        enable_sync_mode=SYNC,
    )


DEV = _dev(image=IMAGE)
DEV_MULTI = _dev(images=_pictures(4))
DEV_LORA = _dev(
    0,
    image=IMAGE,
    loras={
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "path": {"type": "string"},
                "scale": {"type": "number", "default": 1, "minimum": 0, "maximum": 4},
            },
            "required": ["path"],
        },
        "maxItems": 4,
        "description": "Adapters to apply, each by its name on this server.",
    },
)

TEXT_FIELD = {"type": "string"}
LIST_RULES = _schema(
    [],
    page={"type": "integer", "minimum": 1, "maximum": 100_000},
    page_size={"type": "integer", "minimum": 1, "maximum": 100},
    model=TEXT_FIELD,
    status=TEXT_FIELD,
    created_after=TEXT_FIELD,
    created_before=TEXT_FIELD,
    include_inputs={"type": "boolean"},
)
USAGE_RULES = _schema(
    ["start_time", "end_time"], start_time=TEXT_FIELD, end_time=TEXT_FIELD, model_uuid=TEXT_FIELD
)
DELETE_RULES = _schema(
    ["ids"], ids={"type": "array", "items": TEXT_FIELD, "minItems": 1, "maxItems": 1000}
)
UPLOAD_RULES = _schema(
    ["filename", "size"],
    filename=TEXT_FIELD,
    size={"type": "integer", "minimum": 1},
    content_type={"type": "string", "pattern": r"^[\w.+-]{1,60}/[\w.+-]{1,60}(;[ -~]{0,80})?$"},
)
PRICE_RULES = _schema(["model_id"], model_id=TEXT_FIELD)

EDIT = "Edits a picture from a text instruction"
COMBINE = "Combines several pictures from a text instruction"
MAKE = "Makes a picture from a text"


def _model(tail: str, description: str, schema: Mapping[str, Any]) -> Model:
    return Model(name=f"wavespeed-ai/{tail}", description=f"{description}.", schema=schema)


MODELS = (
    _model("flux-kontext-pro", EDIT, PRO),
    _model("flux-kontext-pro/multi", COMBINE, PRO_MULTI),
    _model("flux-kontext-pro/text-to-image", MAKE, TEXT),
    _model("flux-kontext-max", f"{EDIT}, at its best quality", PRO),
    _model("flux-kontext-max/multi", f"{COMBINE}, at its best quality", MAX_MULTI),
    _model("flux-kontext-max/text-to-image", f"{MAKE}, at its best quality", TEXT),
    _model("flux-kontext-dev", f"{EDIT}, every knob in reach", DEV),
    _model("flux-kontext-dev/multi", f"{COMBINE}, every knob in reach", DEV_MULTI),
    _model("flux-kontext-dev/multi-ultra-fast", f"{COMBINE}, faster", DEV_MULTI),
    _model("flux-kontext-dev-ultra-fast", f"{EDIT}, faster", DEV),
    _model("flux-kontext-dev-lora", f"{EDIT}, with adapters", DEV_LORA),
)
BY_NAME = {model.name: model for model in MODELS}
