"""Our predictions and models as OpenAI's objects."""

from collections.abc import Mapping, Sequence
from typing import Any

from retouch.domain.errors import NotFound
from retouch.domain.prediction import Output, Prediction, Status
from retouch.protocols.base import View
from retouch.protocols.openai.fields import LISTED

MADE_AT = 1_748_476_800  # when the catalogue says its models were made, UTC seconds
PIXELS_PER_TOKEN = 256  # 16 by 16: what one token of the model stands for
LETTERS_PER_TOKEN = 4


def images_body(view: View) -> dict[str, Any]:
    """The answer to a request whose pictures are done."""
    it = view.prediction
    first = it.outputs[0]
    return {
        "created": int(it.completed_at or it.created_at),
        "background": "opaque",
        "output_format": it.edit.output_format.value,
        "quality": view.input.get("quality", "auto"),
        "size": f"{first.width}x{first.height}",
        "data": [_item(output) for output in view.outputs],
        "usage": usage(it, it.outputs),
    }


def pending_body(view: View) -> dict[str, Any]:
    """A prediction that has no pictures yet, in the words this API has for other waiting work."""
    it = view.prediction
    status = "queued" if it.status is Status.QUEUED else "in_progress"
    return {"id": it.id, "object": "image", "created": int(it.created_at), "status": status}


def _item(output: str) -> dict[str, str]:
    """One picture: its bytes, where the view holds them, or its address."""
    if output.startswith("data:"):
        return {"b64_json": output.partition(",")[2]}
    return {"url": output}


def usage(it: Prediction, outputs: Sequence[Output]) -> dict[str, Any]:
    """The model's own tokens for some of a prediction's pictures.

    Words are estimated, references counted as large as the result.
    """
    each = [output.width * output.height // PIXELS_PER_TOKEN for output in outputs]
    words = -(-len(it.edit.prompt) // LETTERS_PER_TOKEN)
    references = each[0] * len(it.edit.images)
    taken, given = words + references, sum(each)
    return {
        "input_tokens": taken,
        "input_tokens_details": {"text_tokens": words, "image_tokens": references},
        "output_tokens": given,
        "total_tokens": taken + given,
    }


def models_body(weights: Mapping[str, str]) -> dict[str, Any]:
    return {"object": "list", "data": [model_body(it, weights) for it in LISTED if it in weights]}


def model_body(name: str, weights: Mapping[str, str]) -> dict[str, Any]:
    """A model, and which weights really serve it; raises NotFound."""
    if name not in LISTED or name not in weights:
        raise NotFound("model", name)
    about = {"id": name, "object": "model", "created": MADE_AT, "owned_by": "retouch"}
    return {**about, "weights": weights[name]}
