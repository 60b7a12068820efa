"""The field names of the OpenAI Images API, the rules of its input, and its model names."""

import re
from typing import Any

from retouch.domain.edit import MAX_SEED
from retouch.protocols.base import Model

NAME = "openai"
HOSTS = frozenset({"api.openai.com"})

MAX_IMAGES = 8
IMAGE_FIELDS = ("image", "images", "url", "urls")
MASK = "mask"
PURPOSE = "vision"
PURPOSES = (PURPOSE, "user_data")
"""What a file may be sent for. All are pictures here, and told as the first."""
"""What every file is for: to be an input picture."""

INPUTS: dict[str, Any] = {
    "prompt": {"type": "string", "minLength": 1, "maxLength": 32_000},
    "image": {"type": "array", "items": {"type": "string"}, "maxItems": MAX_IMAGES},
    "model": {"type": "string", "maxLength": 200},
    "n": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
    "size": {"type": "string", "default": "auto"},
    "quality": {
        "type": "string",
        "enum": ["low", "medium", "high", "xhigh", "max", "auto", "standard", "hd"],
        "default": "auto",
    },
    "background": {
        "type": "string",
        "enum": ["transparent", "opaque", "auto"],
        "default": "auto",
    },
    "output_format": {"type": "string", "enum": ["png", "webp", "jpeg"], "default": "png"},
    "output_compression": {"type": "integer", "minimum": 0, "maximum": 100, "default": 100},
    "response_format": {
        "type": "string",
        "enum": ["url", "b64_json"],
    },
    "stream": {"type": "boolean", "default": False},
    "partial_images": {"type": "integer", "minimum": 0, "maximum": 3, "default": 0},
    # Ours, for what the API has no word for; clients pass them as `extra_body`.
    "seed": {"type": "integer", "minimum": 0, "maximum": MAX_SEED},
    "guidance_scale": {"type": "number", "minimum": 0, "maximum": 20},
    "num_inference_steps": {"type": "integer", "minimum": 1, "maximum": 100},
    "aspect_ratio": {"type": "string", "pattern": "^[1-9][0-9]{0,4}:[1-9][0-9]{0,4}$"},
    "safety_tolerance": {"type": "integer", "minimum": 0, "maximum": 6, "default": 2},
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Images",
    "required": ["prompt"],
    "properties": {
        name: {"x-order": order, **rules} for order, (name, rules) in enumerate(INPUTS.items())
    },
}

LINKED = ("dall-e-2", "dall-e-3")
"""Models whose callers read links unless they ask for bytes."""

DEFAULT = "flux-kontext"
MODELS = (
    Model(
        name=DEFAULT,
        description="Makes and edits pictures, whatever model name a client sends.",
        schema=SCHEMA,
    ),
)
KINDS = ("pro", "max", "dev")
LISTED = (DEFAULT, *(f"{DEFAULT}-{kind}" for kind in KINDS))
KONTEXT = re.compile(r"(?:black-forest-labs/)?flux(?:\.1)?-kontext-(pro|max|dev)", re.IGNORECASE)


def model_of(name: str) -> str:
    """The public name behind what a client calls a model: any name it was built for will do."""
    found = KONTEXT.fullmatch(name)
    return f"{DEFAULT}-{found[1].lower()}" if found else DEFAULT
