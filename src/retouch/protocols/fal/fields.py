"""fal's field names, the rules of each model's input, and its status words."""

from collections.abc import Mapping, Sequence
from typing import Any

from retouch.domain.edit import MAX_SEED
from retouch.domain.prediction import Status
from retouch.protocols.base import Model

NAME = "fal"

QUEUE_HOSTS = frozenset({"queue.fal.run", "queue.falrun.com"})
RUN_HOSTS = frozenset({"fal.run", "falrun.com"})
REST_HOSTS = frozenset({"rest.fal.ai", "rest.alpha.fal.ai"})
CDN_HOSTS = frozenset({"v3.fal.media", "v3b.fal.media", "fal.media"})
PLATFORM_HOSTS = frozenset({"api.fal.ai"})
HOSTS = PLATFORM_HOSTS | QUEUE_HOSTS | RUN_HOSTS | REST_HOSTS | CDN_HOSTS

MAX_PICTURES = 8
MAX_SIDE, MAX_PIXELS = 4096, 4 * 1024 * 1024
RATIOS = ("21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21")
RESOLUTIONS = (
    "auto", "match_input", "1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3",
    "9:16", "9:21",
)  # fmt: skip
SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}


def _schema(required: Sequence[str], **fields: Mapping[str, Any]) -> dict[str, Any]:
    """A model's input schema, fields numbered in the order given."""
    properties = {
        name: {"x-order": order, "title": name.replace("_", " ").title(), **rules}
        for order, (name, rules) in enumerate(fields.items())
    }
    return {"type": "object", "required": list(required), "properties": properties}


def _choice(default: str | None, *allowed: str) -> dict[str, Any]:
    rules: dict[str, Any] = {"type": "string", "enum": list(allowed)}
    return rules if default is None else {**rules, "default": default}


def _number(kind: str, default: float, low: float, high: float) -> dict[str, Any]:
    return {"type": kind, "default": default, "minimum": low, "maximum": high}


def _flag(*, default: bool) -> dict[str, Any]:
    return {"type": "boolean", "default": default}


PROMPT = {"type": "string"}
IMAGE = {"type": "string", "format": "uri"}
IMAGES = {"type": "array", "items": IMAGE, "minItems": 1, "maxItems": MAX_PICTURES}
SEED = {"type": "integer", "minimum": 0, "maximum": MAX_SEED}
SIZE = {
    "default": "landscape_4_3",
    "anyOf": [
        {"type": "string", "enum": list(SIZES)},
        {
            "type": "object",
            "properties": {
                "width": {"type": "integer", "minimum": 16, "maximum": MAX_SIDE, "default": 512},
                "height": {"type": "integer", "minimum": 16, "maximum": MAX_SIDE, "default": 512},
            },
        },
    ],
}
LORAS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["path"],
        "properties": {
            "path": {"type": "string", "description": "The name of a LoRA of this server."},
            "scale": {"type": "number", "default": 1, "minimum": 0, "maximum": 4},
        },
    },
    "default": [],
}

PRO: Mapping[str, Mapping[str, Any]] = {
    "prompt": PROMPT,
    "seed": SEED,
    "guidance_scale": _number("number", 3.5, 1, 20),
    "sync_mode": _flag(default=False),
    "num_images": _number("integer", 1, 1, 4),
    "output_format": _choice("jpeg", "jpeg", "png"),
    "safety_tolerance": _choice("2", "1", "2", "3", "4", "5", "6"),
    "enhance_prompt": _flag(default=False),
}
EDIT = _schema(["prompt", "image_url"], **PRO, aspect_ratio=_choice(None, *RATIOS), image_url=IMAGE)
MULTI = _schema(
    ["prompt", "image_urls"], **PRO, aspect_ratio=_choice(None, *RATIOS), image_urls=IMAGES
)
TEXT = _schema(["prompt"], **PRO, aspect_ratio=_choice("1:1", *RATIOS))
DEV = _schema(
    ["image_url", "prompt"],
    image_url=IMAGE,
    prompt=PROMPT,
    num_inference_steps=_number("integer", 28, 10, 50),
    seed=SEED,
    guidance_scale=_number("number", 2.5, 1, 20),
    sync_mode=_flag(default=False),
    num_images=_number("integer", 1, 1, 4),
    enable_safety_checker=_flag(default=True),
    output_format=_choice("jpeg", "jpeg", "png"),
    acceleration=_choice("none", "none", "regular", "high"),
    enhance_prompt=_flag(default=False),
    resolution_mode=_choice("match_input", *RESOLUTIONS),
)
WITH_LORAS: Mapping[str, Mapping[str, Any]] = {
    "image_url": IMAGE,
    "prompt": PROMPT,
    "num_inference_steps": _number("integer", 30, 10, 50),
    "seed": SEED,
    "guidance_scale": _number("number", 2.5, 0, 20),
    "sync_mode": _flag(default=False),
    "num_images": _number("integer", 1, 1, 4),
    "enable_safety_checker": _flag(default=True),
    "output_format": _choice("png", "jpeg", "png"),
    "loras": LORAS,
    "acceleration": _choice("none", "none", "regular", "high"),
}
LORA = _schema(
    ["image_url", "prompt"],
    **WITH_LORAS,
    resolution_mode=_choice("match_input", *RESOLUTIONS),
)
INPAINT = _schema(
    ["image_url", "prompt", "reference_image_url", "mask_url"],
    **WITH_LORAS,
    reference_image_url=IMAGE,
    mask_url=IMAGE,
    strength=_number("number", 0.88, 0.01, 1),
)
LORA_TEXT = _schema(
    ["prompt"],
    prompt=PROMPT,
    image_size=SIZE,
    num_inference_steps=_number("integer", 28, 1, 50),
    seed=SEED,
    guidance_scale=_number("number", 3.5, 0, 20),
    sync_mode=_flag(default=False),
    num_images=_number("integer", 1, 1, 4),
    enable_safety_checker=_flag(default=True),
    output_format=_choice("jpeg", "jpeg", "png"),
    loras=LORAS,
    acceleration=_choice("none", "none", "regular"),
)

MASK = "mask_url"
PICTURES = ("image_url", "image_urls", "reference_image_url", MASK)
"""The fields that name pictures, those of the edit in their order."""

PREFIX = "fal-ai"
REQUEST = f"/{PREFIX}/{{name:path}}/requests/{{id}}"
PAYLOADS = "/models/requests/{id}/payloads"  # on the vendor's platform host, under a version
PROXY = "/api/fal/proxy"  # a call here means another address, or nothing
SENDING = "/files/signed/{proof}/uploads/{file}/multipart/{ticket}"

MODELS = tuple(
    Model(
        name=f"{PREFIX}/{name}",
        description=description,
        schema=schema,
        is_inpainting=schema is INPAINT,
    )
    for name, description, schema in (
        ("flux-pro/kontext", "Edits a picture.", EDIT),
        ("flux-pro/kontext/max", "Edits a picture, at its best quality.", EDIT),
        ("flux-pro/kontext/multi", "Combines several pictures.", MULTI),
        ("flux-pro/kontext/max/multi", "Combines several pictures, at its best quality.", MULTI),
        ("flux-pro/kontext/text-to-image", "Makes a picture from text alone.", TEXT),
        ("flux-pro/kontext/max/text-to-image", "The same, at its best quality.", TEXT),
        ("flux-kontext/dev", "Edits a picture, every knob in reach.", DEV),
        ("flux-kontext-lora", "Edits a picture, every knob in reach.", LORA),
        ("flux-kontext-lora/inpaint", "Edits what a mask marks of a picture.", INPAINT),
        ("flux-kontext-lora/text-to-image", "Makes a picture from text alone.", LORA_TEXT),
    )
)
BY_NAME = {model.name: model for model in MODELS}

STATUS_WORDS = {
    Status.QUEUED: "IN_QUEUE",
    Status.RUNNING: "IN_PROGRESS",
    Status.SUCCEEDED: "COMPLETED",
    Status.FAILED: "COMPLETED",
    Status.CANCELED: "COMPLETED",
}
