"""Replicate's field names, the rules of each model's input, and its status words."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from retouch.domain.errors import NotFound
from retouch.domain.prediction import Status
from retouch.protocols.base import Model

UPLOAD_LIMIT_BYTES = 100 * 1024 * 1024
NAME = "replicate"
HOSTS = frozenset({"api.replicate.com", "stream.replicate.com"})

MATCH = "match_input_image"
RATIOS = ["1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "4:5", "5:4", "21:9", "9:21"]
AR14 = [MATCH, *RATIOS, "2:1", "1:2"]
AR12 = ["1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21", MATCH]
IMAGE = {"type": "string", "format": "uri"}


def _schema(required: Sequence[str], **fields: Mapping[str, Any]) -> dict[str, Any]:
    """A model's Input schema: Cog's form, fields numbered in the order given."""
    properties = {
        name: {"x-order": order, "title": name.replace("_", " ").title(), **rules}
        for order, (name, rules) in enumerate(fields.items())
    }
    return {
        "type": "object",
        "title": "Input",
        "required": list(required),
        "properties": properties,
    }


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _image(description: str) -> dict[str, Any]:
    return {**IMAGE, "description": f"{description} A jpeg, png, gif or webp."}


def _choice(description: str, default: str, allowed: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "string",
        "enum": list(allowed),
        "default": default,
        "description": description,
    }


def _number(kind: str, description: str, default: float, low: int, high: int) -> dict[str, Any]:
    bounds = {"minimum": low, "maximum": high}
    return {"type": kind, "default": default, **bounds, "description": description}


def _flag(description: str, *, default: bool) -> dict[str, Any]:
    return {"type": "boolean", "default": default, "description": description}


PROMPT = _text("What to change, or what to make when no picture is given.")
SEED = {"type": "integer", "description": "Repeats a result. Drawn at random when left out."}
RATIO = _choice("The shape of the result.", MATCH, AR14)
FORMAT = _choice("The file format of the result.", "png", ["jpg", "png"])
TOLERANCE = "0 is the strictest, 6 the most permissive."

PRO = _schema(
    ["prompt"],
    prompt=PROMPT,
    input_image=_image("The picture to edit."),
    aspect_ratio=RATIO,
    prompt_upsampling=_flag("Let the server elaborate the prompt.", default=False),
    seed=SEED,
    output_format=FORMAT,
    safety_tolerance=_number("integer", f"{TOLERANCE} At most 2 with a picture.", 2, 0, 6),
)
PRO_EARLY = _schema(
    ["prompt"],
    prompt=PROMPT,
    input_image=_image("The picture to edit."),
    aspect_ratio=_choice("The shape of the result.", "1:1", AR14),
    seed=SEED,
)
DEV = _schema(
    ["prompt", "input_image"],
    prompt=PROMPT,
    input_image=_image("The picture to edit."),
    aspect_ratio=_choice("The shape of the result.", MATCH, AR12),
    num_inference_steps=_number("integer", "Denoising steps.", 28, 4, 50),
    guidance=_number("number", "How strongly to follow the prompt.", 2.5, 0, 10),
    seed=SEED,
    output_format=_choice("The file format of the result.", "webp", ["webp", "jpg", "png"]),
    output_quality=_number("integer", "0 to 100, best last. Not used for png.", 80, 0, 100),
    disable_safety_checker=_flag("Do not check the result.", default=False),
    go_fast=_flag("Prefer speed to exactness where the weights know how.", default=True),
)
DEV_2025 = {
    **DEV,
    "properties": {
        **DEV["properties"],
        "num_inference_steps": {**DEV["properties"]["num_inference_steps"], "default": 30},
    },
}
MULTI = _schema(
    ["prompt", "input_image_1", "input_image_2"],
    prompt=PROMPT,
    input_image_1=_image("The first picture."),
    input_image_2=_image("The second picture."),
    aspect_ratio=RATIO,
    seed=SEED,
    output_format=FORMAT,
    safety_tolerance=_number("integer", TOLERANCE, 2, 0, 2),
)
MULTI_LIST = _schema(
    ["prompt", "input_images"],
    prompt=PROMPT,
    input_images={
        "type": "array",
        "items": IMAGE,
        "minItems": 1,
        "maxItems": 8,
        "description": "The pictures, in the order the prompt speaks of them.",
    },
    aspect_ratio=RATIO,
    seed=SEED,
    output_format=FORMAT,
    safety_tolerance=_number("integer", TOLERANCE, 2, 0, 2),
)


def _model(name: str, description: str, schema: Mapping[str, Any], *pinned: str) -> Model:
    versions = pinned or (hashlib.sha256(name.encode()).hexdigest(),)
    return Model(name=name, description=description, schema=schema, versions=versions)


MODELS = (
    _model(
        "black-forest-labs/flux-kontext-pro",
        "Edits a picture from a text instruction.",
        PRO,
        "0a1381936934845a14efcc9f309ce7d031cb905867878b5c5830280e00e97606",
        "569705b35f79b1160d51de1d0e3955626af86c77a034a16e89010dbdde5ad312",
        "897a70f5a7dbd8a0611413b3b98cf417b45f266bd595c571a22947619d9ae462",
        "0f1178f5a27e9aa2d2d39c8a43c110f7fa7cbf64062ff04a04cd40899e546065",
    ),
    _model(
        "black-forest-labs/flux-kontext-max",
        "Edits a picture from a text instruction, at its best quality.",
        PRO,
    ),
    _model(
        "black-forest-labs/flux-kontext-dev",
        "Edits a picture from a text instruction, every knob in reach.",
        DEV,
        "a1408d2c4fd0af9bf22673accc5c066780fb26f50c70564eddf568601969aee8",
    ),
    _model(
        "flux-kontext-apps/multi-image-kontext-pro",
        "Combines two pictures from a text instruction.",
        MULTI,
        "6d14f9b3d25a9400c4a5e5f0f6842ae7537fefcf68df86dad9533f66204f2bb2",
    ),
    _model(
        "flux-kontext-apps/multi-image-kontext-max",
        "Combines two pictures from a text instruction, at its best quality.",
        MULTI,
    ),
    _model(
        "flux-kontext-apps/multi-image-list",
        "Combines a list of pictures from a text instruction.",
        MULTI_LIST,
        "02f073c63abec2c72f0638164a25a64bd0ca70bce780c0ac75c6851252bb4c70",
    ),
)
BY_NAME = {model.name: model for model in MODELS}
BY_VERSION = {version: model for model in MODELS for version in model.versions}
OLD_SCHEMAS = {
    "0f1178f5a27e9aa2d2d39c8a43c110f7fa7cbf64062ff04a04cd40899e546065": PRO_EARLY,
    "a1408d2c4fd0af9bf22673accc5c066780fb26f50c70564eddf568601969aee8": DEV_2025,
}
"""Pinned versions whose rules differ from their model's current ones."""

HIDDEN = "hidden"  # what official models show as their version


def by_name(name: str) -> Model:
    if name not in BY_NAME:
        raise NotFound("model", name)
    return BY_NAME[name]


STATUS_WORDS = {
    Status.QUEUED: "starting",
    Status.RUNNING: "processing",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.CANCELED: "canceled",
}
