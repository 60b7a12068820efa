"""What every refusal names: the field, the value and the limit; and which values it never names."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from retouch.domain.errors import InvalidEdit
from retouch.protocols import DIALECTS
from retouch.protocols.base import Call, Model
from retouch.protocols.dialect import Dialect
from retouch.protocols.values import shown

PICTURE = "https://pictures.example/cat.png"
BEYOND: Mapping[str, Any] = {"string": [1], "array": 5, "object": 5}


def call_of(dialect: Dialect, model: Model, fields: Mapping[str, Any]) -> Call:
    """A create of this model."""
    common: dict[str, Any] = {"method": "POST", "origin": "https://edit.example"}
    body = json.dumps(fields).encode()
    match dialect.name:
        case "replicate":
            params = dict(zip(("owner", "name"), model.name.split("/"), strict=True))
            body = json.dumps({"input": fields}).encode()
            return Call(path="/v1/predictions", mount="/v1", params=params, body=body, **common)
        case "openai":
            return Call(path="/v1/images/generations", mount="/v1", body=body, **common)
        case _:
            mount = {"fal": "/queue", "wavespeed": "/api/v3", "bfl": "/v1"}[dialect.name]
            return Call(path=f"{mount}/{model.name}", mount=mount, body=body, **common)


def breaches(rules: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    """Values that break a field's rules, each with how the answer names the limit."""
    kind = rules.get("type")
    if kind:
        yield BEYOND.get(kind, "nonesuch"), "list" if kind == "array" else kind
    for rule, limit in rules.items():
        match rule:
            case "minimum":
                yield limit - 1, str(limit)
            case "maximum":
                yield limit + 1, str(limit)
            case "enum":
                yield "nonesuch", limit[0]
            case "maxItems":
                yield [PICTURE] * (limit + 1), str(limit)
            case "minItems" if limit:
                yield [], str(limit)
            case "maxLength":
                yield "x" * (limit + 1), str(limit)
            case "format":
                yield "cat.png", ""  # what is taken differs by protocol
            case "pattern":
                yield "nonesuch", ""


def cases() -> Iterator[Any]:
    for dialect in DIALECTS:
        told_before: list[Any] = []
        for model in dialect.models:
            for name, rules in model.schema["properties"].items():
                if (dialect.name == "openai" and name == "image") or rules in told_before:
                    continue
                told_before.append(rules)
                for value, limit in breaches(rules):
                    case = f"{model.name} {name} {str(value)[:20]}"
                    yield pytest.param(dialect, model, name, value, limit, id=case)


def refusal(dialect: Dialect, model: Model, name: str, value: Any) -> Any:
    """The body of the answer to a request that is right but for one field."""
    rules = model.schema["properties"]
    fine = {
        it: [PICTURE] if rules[it].get("type") == "array" else PICTURE
        for it in model.schema.get("required", ())
    }
    call = call_of(dialect, model, {**fine, name: value})
    with pytest.raises(InvalidEdit) as refused:
        dialect.parse(call)
    return dialect.refuse(call, refused.value).body


@pytest.mark.parametrize(("dialect", "model", "name", "value", "limit"), list(cases()))
def test_a_refusal_names_the_field_the_value_and_the_limit(
    dialect: Dialect, model: Model, name: str, value: Any, limit: str
) -> None:
    body = msgspec.json.encode(refusal(dialect, model, name, value)).decode()

    assert name in body
    assert limit in body.replace("array", "list").replace("dictionary", "object")
    if not model.schema["properties"][name].get("writeOnly"):
        assert json.dumps(shown(value), ensure_ascii=False).strip('"') in body


def test_a_secret_is_not_repeated() -> None:
    dialect = next(it for it in DIALECTS if it.name == "bfl")

    body = refusal(dialect, dialect.models[0], "webhook_secret", [12345])

    assert body["detail"] == [
        {
            "loc": ["body", "webhook_secret"],
            "msg": "Input should be a valid string",
            "type": "string_type",
        }
    ]


@pytest.mark.parametrize(
    ("value", "repeated"),
    [
        (7, 7),
        (True, True),
        (10**400, "a number beyond 64 bits"),
        ("red", "red"),
        ("x" * 100, f"{'x' * 60}… (100 characters)"),
        ("data:image/png;base64,iVBORw0KGgo=", "data:image/png;base64,…"),
        ("https://me:secret@h.example/a.png?sig=abc", "https://…@h.example/a.png?…"),
        ([1, 2.5], "[1, 2.5]"),
        (["a", "b"], "2 items"),
        ({"width": 1}, '{"width": 1}'),
        ({"secret": "x"}, "1 field"),
    ],
)
def test_a_value_is_repeated_in_short_and_without_what_may_be_secret(
    value: Any, repeated: Any
) -> None:
    assert shown(value) == repeated
