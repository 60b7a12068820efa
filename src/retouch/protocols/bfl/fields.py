"""BFL's field names, the rules of each model's input, and its status words."""

from typing import Any

from retouch.domain.failure import FailureKind
from retouch.domain.prediction import Status
from retouch.protocols.base import Model

NAME = "bfl"
HOSTS = frozenset(
    {
        "api.bfl.ai",
        "api.eu.bfl.ai",
        "api.us.bfl.ai",
        "api.eu1.bfl.ai",
        "api.us1.bfl.ai",
        "api.bfl.ml",
    }
)

POLL = "/get_result"
POLL_ID = "id"
"""The address that tells how far an edit is, and the parameter of its query that names it."""

IMAGES = ("input_image", "input_image_2", "input_image_3", "input_image_4")
RATIO = "^[0-9]{1,5}:[0-9]{1,5}$"

INPUTS: dict[str, Any] = {
    "prompt": {"type": "string"},
    **{name: {"type": "string"} for name in IMAGES},
    # The published schema has no bounds; one client draws seeds from all 64 bits.
    "seed": {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
    "aspect_ratio": {"type": "string", "pattern": RATIO},
    "output_format": {"type": "string", "enum": ["jpeg", "png", "webp"], "default": "png"},
    "webhook_url": {"type": "string", "minLength": 1, "maxLength": 2083},
    "webhook_secret": {"type": "string", "writeOnly": True},
    "prompt_upsampling": {"type": "boolean", "default": False},
    "safety_tolerance": {"type": "integer", "minimum": 0, "maximum": 6, "default": 2},
    # Not in the published schema; clients of it send both all the same.
    "guidance": {"type": "number", "minimum": 0, "maximum": 20},
    "steps": {"type": "integer", "minimum": 1, "maximum": 100},
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "FluxKontextProInputs",
    "required": ["prompt"],
    "properties": {
        name: {"x-order": order, **rules} for order, (name, rules) in enumerate(INPUTS.items())
    },
}

USAGE: dict[str, Any] = {
    "type": "object",
    "required": ["number_of_generations"],
    "properties": {"number_of_generations": {"x-order": 0, "type": "integer", "minimum": 1}},
}

MODELS = tuple(
    Model(name=name, description=description, schema=SCHEMA)
    for name, description in (
        ("flux-kontext-pro", "Edits a picture from a text instruction."),
        ("flux-kontext-max", "Edits a picture from a text instruction, at its best quality."),
        ("flux-kontext-dev", "Edits a picture from a text instruction; an extension of ours."),
    )
)

STATUS_WORDS = {
    Status.QUEUED: "Pending",
    Status.RUNNING: "Pending",
    Status.SUCCEEDED: "Ready",
    Status.FAILED: "Error",
    Status.CANCELED: "Error",
}
MODERATED_WORDS = {
    FailureKind.BLOCKED_REQUEST: "Request Moderated",
    FailureKind.BLOCKED_RESULT: "Content Moderated",
}
"""What a failure is called when a safety check was its reason."""

UNKNOWN = "Task not found"
