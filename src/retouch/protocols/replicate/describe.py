"""What Replicate tells of models, versions and the account, from the catalogue alone."""

from collections.abc import Mapping
from typing import Any

from retouch.domain.errors import NotFound
from retouch.protocols.base import Call, Facts, Model
from retouch.protocols.replicate.errors import refuse
from retouch.protocols.replicate.fields import MODELS, OLD_SCHEMAS, by_name
from retouch.protocols.replicate.pages import page_body

TITLE_DATE = "2025-06-01T00:00:00.000Z"  # when the catalogue says its models were made
MARKDOWN = {"content-type": "text/markdown; charset=utf-8"}
COG_VERSION = "0.15.0"


def described(topic: str, call: Call, facts: Facts) -> Any:
    match topic:
        case "models":
            return page_body(call, "/models", _found(call, _words(call), facts), None)
        case "search":
            return _search(call, facts)
        case "model":
            model = by_name(f"{call.params['owner']}/{call.params['name']}")
            return model_body(call, model, facts.weights[model.name])
        case "versions":
            # Official models have no list of versions; a client then creates by model name.
            raise NotFound("version list of", f"{call.params['owner']}/{call.params['name']}")
        case "version":
            model = by_name(f"{call.params['owner']}/{call.params['name']}")
            version = call.params["id"]
            if version not in model.versions:
                raise NotFound("version", version)
            return version_body(model, version, OLD_SCHEMAS.get(version, model.schema))
        case "examples":
            name = by_name(f"{call.params['owner']}/{call.params['name']}").name
            return page_body(call, f"/models/{name}/examples", [], None)
        case "account":
            user = {"type": "user", "username": facts.owner, "name": facts.owner}
            return {**user, "github_url": None}
        case "webhook secret":
            return {"key": facts.webhook_secrets[0]}
        case "hardware":
            return [{"sku": "local", "name": "This server"}]
        case _:
            return page_body(call, "", [], None)


def readme(call: Call, facts: Facts) -> bytes:
    """What there is to say of a model, in Markdown; raises NotFound."""
    model = by_name(f"{call.params['owner']}/{call.params['name']}")
    lines = [f"# {model.name}", "", _about(model, facts.weights[model.name]), ""]
    for name, rules in model.schema["properties"].items():
        needed = " Required." if name in model.schema["required"] else ""
        lines.append(f"- `{name}`: {rules.get('description', rules['type'])}{needed}")
    return "\n".join([*lines, ""]).encode()


def _about(model: Model, weights: str) -> str:
    return f"{model.description} Served here by the {weights} weights."


def _words(call: Call) -> str:
    """A search text: clients send it bare, or JSON-quoted under a plain type."""
    text = call.body.decode("utf-8", "replace").strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _found(call: Call, words: str, facts: Facts) -> list[dict[str, Any]]:
    wanted = words.lower().split()
    return [
        model_body(call, model, facts.weights[model.name])
        for model in MODELS
        if all(word in f"{model.name} {model.description}".lower() for word in wanted)
    ]


def _search(call: Call, facts: Facts) -> dict[str, Any]:
    words = call.query.get("query", "")
    if not words:
        refuse("query", "required", "query is required")
    limit = call.query.get("limit", "")
    most = min(max(int(limit), 1), 50) if limit.isdecimal() else 20
    metadata = {"tags": [], "score": 1.0, "generated_description": None}
    models = [{"model": it, "metadata": metadata} for it in _found(call, words, facts)[:most]]
    return {"query": words, "models": models, "collections": [], "pages": []}


def model_body(call: Call, model: Model, weights: str) -> dict[str, Any]:
    owner, _, name = model.name.partition("/")
    return {
        "url": call.url(f"/models/{model.name}"),
        "owner": owner,
        "name": name,
        "description": _about(model, weights),
        "visibility": "public",
        "is_official": True,
        "github_url": None,
        "paper_url": None,
        "license_url": None,
        "run_count": 0,
        "cover_image_url": None,
        "default_example": None,
        "latest_version": version_body(model, model.versions[0], model.schema),
    }


def version_body(model: Model, version: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": version,
        "created_at": TITLE_DATE,
        "cog_version": COG_VERSION,
        "openapi_schema": {
            "openapi": "3.0.2",
            "info": {"title": model.name, "version": "0.1.0"},
            "paths": {},
            "components": {"schemas": {"Input": schema, **COMMON_SCHEMAS}},
        },
    }


COMMON_SCHEMAS: Mapping[str, Any] = {
    "Output": {"type": "string", "format": "uri", "title": "Output"},
    "Status": {
        "type": "string",
        "title": "Status",
        "enum": ["starting", "processing", "succeeded", "canceled", "failed"],
    },
    "PredictionRequest": {
        "type": "object",
        "title": "PredictionRequest",
        "properties": {"input": {"$ref": "#/components/schemas/Input"}},
    },
    "PredictionResponse": {
        "type": "object",
        "title": "PredictionResponse",
        "properties": {
            "input": {"$ref": "#/components/schemas/Input"},
            "output": {"$ref": "#/components/schemas/Output"},
            "status": {"$ref": "#/components/schemas/Status"},
            "error": {"type": "string", "title": "Error"},
            "logs": {"type": "string", "title": "Logs", "default": ""},
            "metrics": {"type": "object", "title": "Metrics"},
        },
    },
    "HTTPValidationError": {
        "type": "object",
        "title": "HTTPValidationError",
        "properties": {"detail": {"type": "string", "title": "Detail"}},
    },
}
