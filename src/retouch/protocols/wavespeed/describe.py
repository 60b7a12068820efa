"""What WaveSpeed tells of models, prices, the balance and the webhooks' secret.

Everything here costs nothing.
"""

from collections.abc import Mapping
from typing import Any

from retouch.domain.errors import InvalidEdit, NotFound
from retouch.protocols.base import Call, Facts, Model
from retouch.protocols.schema import faults, known
from retouch.protocols.wavespeed.errors import violation
from retouch.protocols.wavespeed.fields import BY_NAME, HIDDEN, MODELS, PRICE_RULES
from retouch.protocols.wavespeed.parse import body_of

CURRENCY = "USD"
FORMULA = '{"total_price": 0}'  # JSONata, which clients evaluate


def described(topic: str, call: Call, facts: Facts) -> Any:
    match topic:
        case "webhook secret":
            return {"secret": facts.webhook_secrets[-1]}
        case "balance":
            return {"balance": 0}
        case "models":
            return [model_body(model, facts.weights[model.name]) for model in MODELS]
        case "pricing":
            return {"model_id": _priced(call), "unit_price": 0, "currency": CURRENCY}
        case "price":
            name = _priced(call)
            return {"model_id": name, "price": 0, "discounted_price": 0, "currency": CURRENCY}
        case _:
            raise NotFound("address", call.path)


def model_body(model: Model, weights: str) -> dict[str, Any]:
    fields = {
        name: _shown(rules)
        for name, rules in model.schema["properties"].items()
        if not rules.get(HIDDEN)
    }
    request = {
        "type": "object",
        "properties": fields,
        "required": model.schema["required"],
        "x-order-properties": list(fields),
    }
    return {
        "model_id": model.name,
        "name": model.name,
        "description": f"{model.description} Served here by the {weights} weights.",
        "type": "image-to-image" if fields.keys() & {"image", "images"} else "text-to-image",
        "base_price": 0,
        "formula": FORMULA,
        "api_schema": {"api_schemas": [{"type": "model_run", "request_schema": request}]},
    }


def _shown(rules: Mapping[str, Any]) -> dict[str, Any]:
    """A field without our own number: the order stands in the list beside."""
    return {name: value for name, value in rules.items() if name != "x-order"}


def _priced(call: Call) -> str:
    """The model whose price is asked for; its inputs do not matter where nothing costs."""
    fields = known(PRICE_RULES, body_of(call))
    broken = [violation(fault) for fault in faults(PRICE_RULES, fields)]
    if broken:
        raise InvalidEdit(tuple(broken))
    name = str(fields["model_id"])
    if name not in BY_NAME:
        raise NotFound("model", name)
    return name
