"""Checking a request's input against its model's JSON Schema, in neutral words.

Each protocol owns a table from our `Fault` to its own sentences; this file owns the order (the
schema's `x-order`), the formats, and what counts as absent; and it says the same to the outside.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]
from jsonschema.exceptions import ValidationError  # type: ignore[import-untyped]

from retouch.domain.errors import Violation
from retouch.protocols.data_uri import is_data_uri
from retouch.protocols.values import shown

FORMATS = FormatChecker(formats=())


@FORMATS.checks("uri")  # type: ignore[untyped-decorator]
def is_uri(value: object) -> bool:
    """Whether a value can name a picture: http(s) with a host, or a data URI."""
    if not isinstance(value, str):
        return True  # the type rule speaks for it
    if value != value.strip():  # which `urlsplit` would overlook
        return False
    if is_data_uri(value):
        return "," in value
    try:
        parts = urlsplit(value)
        has_place = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        return parts.scheme in ("http", "https") and has_place
    except ValueError:
        return False


TEXT = r"^[^\u0000]*$"
WEB_ADDRESS = (
    r"^https?://[A-Za-z0-9]([A-Za-z0-9.-]{0,200}[A-Za-z0-9])?(:[1-9][0-9]{0,3})?([/?#][!-~]*)?$"
)
BASE64 = r"^([A-Za-z0-9+/]{4})+([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
DATA_URI = rf"^data:(image/[a-z]{{1,20}})?;base64,{BASE64[1:]}"
PICTURE = f"{WEB_ADDRESS}|{DATA_URI}"
"""What to tell callers of texts that are checked by code. Each describes only what is taken; the
checks take a little more, such as a scheme in capitals."""


def is_web_address(text: str) -> bool:
    """Whether a text can be the address of a webhook: http(s) with a host, nothing unprintable."""
    return text[:4].lower() == "http" and is_uri(text) and text.isprintable() and " " not in text


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken rule: the path to the field, the schema keyword, its limit, and the value's type.

    For a missing top-level field the path is empty and `limit` is its name. `value` is as a
    refusal may repeat it: None for what is missing or `writeOnly`, which is a secret.
    """

    path: tuple[str | int, ...]
    rule: str
    limit: Any
    given: str
    value: str | int | float | None = None


def known(schema: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields the schema knows, in its order; unknown ones and nulls are dropped."""
    given = [name for name in schema["properties"] if fields.get(name) is not None]
    return {name: fields[name] for name in sorted(given, key=partial(_order, schema))}


def faults(schema: Mapping[str, Any], fields: Mapping[str, Any]) -> Sequence[Fault]:
    """Every broken rule, in the order of the schema's fields."""
    missing = [name for name in schema.get("required", ()) if name not in fields]
    rules = schema["properties"]
    if not missing and all(_is_plainly_right(rules.get(it, {}), fields[it]) for it in fields):
        return ()
    found = [Fault((), "required", name, "undefined") for name in missing]
    found += [
        _fault(error)
        for error in _validator(_Schema(schema)).iter_errors(fields)
        if error.absolute_path or error.validator != "required"
    ]
    # A value of the wrong type breaks its other rules too; the type says it all.
    mistyped = {fault.path for fault in found if fault.rule == "type"}
    found = [fault for fault in found if fault.rule == "type" or fault.path not in mistyped]
    return sorted(found, key=lambda fault: _order(schema, _field(fault)))


def _is_plainly_right(rules: Mapping[str, Any], value: object) -> bool:
    """Whether a value keeps a field's rules, as far as that takes no validator to tell."""
    return (
        rules.keys() <= _PLAIN
        and type(value) is _KINDS.get(rules.get("type", ""))
        and ("format" not in rules or (rules["format"] == "uri" and is_uri(value)))
        and ("enum" not in rules or value in rules["enum"])
        and ("minimum" not in rules or value >= rules["minimum"])
        and ("maximum" not in rules or value <= rules["maximum"])
    )


_PLAIN = frozenset(
    {"type", "format", "enum", "minimum", "maximum"}
    | {"x-order", "x-hidden", "title", "description", "default", "writeOnly"}
)
_KINDS = {"string": str, "integer": int, "boolean": bool}


def published(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object's rules as callers may rely on them: those of `known` and the formats said too."""
    needed = set(schema.get("required", ()))
    fields = {
        name: _published(rules) if name in needed else nullable(_published(rules))
        for name, rules in schema["properties"].items()
    }
    return {**schema, "properties": fields}


def nullable(rules: Mapping[str, Any]) -> dict[str, Any]:
    """The rules of a field that is as good as absent when it is null."""
    if "type" not in rules:
        return {**rules, "anyOf": [*rules["anyOf"], {"type": "null"}]} if rules else {}
    choices = {"enum": [*rules["enum"], None]} if "enum" in rules else {}
    return {**rules, "type": [rules["type"], "null"], **choices}


def _published(rules: Mapping[str, Any]) -> dict[str, Any]:
    match rules:
        case {"type": "string", "format": "uri"}:
            plain = {name: rules[name] for name in rules if name != "format"}
            return {**plain, "pattern": PICTURE}
        case {"type": "string"} if not rules.keys() & {"enum", "pattern"}:
            return {"pattern": TEXT, **rules}
        case {"type": "array", "items": items}:
            return {**rules, "items": _published(items)}
        case {"type": "object", "properties": fields}:
            return {**rules, "properties": {name: _published(it) for name, it in fields.items()}}
        case _:
            return dict(rules)


def in_order(schema: Mapping[str, Any], broken: Iterable[Violation]) -> tuple[Violation, ...]:
    """Violations as their fields stand in a schema."""
    return tuple(sorted(broken, key=lambda it: _order(schema, it.field.partition(".")[0])))


def type_name(value: object) -> str:
    """The JSON type of a value, `integer` and `number` told apart."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list() | tuple():
            return "array"
        case _:
            return "object"


class _Schema:
    """A schema as a cache key, by identity: schemas are module constants."""

    __slots__ = ("schema",)

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Schema) and other.schema is self.schema


@lru_cache(maxsize=64)
def _validator(key: _Schema) -> Draft202012Validator:
    return Draft202012Validator(key.schema, format_checker=FORMATS)


def _fault(error: ValidationError) -> Fault:
    path = tuple(error.absolute_path)
    rule, limit = str(error.validator), error.validator_value
    given = type_name(error.instance)
    if rule == "required":  # inside of a field, where one name is missing
        limit = next(name for name in limit if name not in error.instance)
        return Fault(path, rule, limit, given)
    is_secret = error.schema.get("writeOnly", False)
    return Fault(path, rule, limit, given, None if is_secret else shown(error.instance))


def _field(fault: Fault) -> str:
    return str(fault.path[0] if fault.path else fault.limit if fault.rule == "required" else "")


def _order(schema: Mapping[str, Any], name: str) -> int:
    order = schema["properties"].get(name, {}).get("x-order", -1)
    return int(order)
