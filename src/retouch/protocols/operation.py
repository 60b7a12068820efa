"""The values in which a protocol describes its addresses for its OpenAPI document.

A protocol says what each of its routes takes and answers when all goes well, and what its errors
look like. Which errors an address can meet follows from its verb; `openapi` puts it all together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from retouch.protocols.schema import TEXT, WEB_ADDRESS

Schema = Mapping[str, Any]
JSON = "application/json"
FORM = "multipart/form-data"
EVENTS = "text/event-stream"
BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A value outside the body. One in the path is only listed to say more than that it is text."""

    name: str
    place: Literal["query", "header", "path"] = "query"
    schema: Schema = field(default_factory=lambda: STRING)
    description: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer: its schema by media type, none for an answer without a body."""

    description: str
    content: Mapping[str, Schema] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The requests and the answers of one address.

    `body` is by media type. `replies` are the answers of this address alone, by status; they
    stand before the protocol's own for the same status. `path` names an address whose model is
    filled in, when the route has a place for it.
    """

    summary: str
    replies: Mapping[int, Reply]
    body: Mapping[str, Schema] = field(default_factory=dict)
    needs_body: bool = True
    parameters: tuple[Parameter, ...] = ()
    refusals: tuple[int, ...] = ()  # statuses of errors beyond those of its verb
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A protocol's part of its document. `operations` are by `METHOD path`, as in its routes."""

    title: str = ""
    summary: str = ""
    operations: Mapping[str, Sequence[Operation]] = field(default_factory=dict)
    refusals: Mapping[int, Reply] = field(default_factory=dict)
    refusal: Reply = Reply(description="An error.", content={JSON: {}})  # any other status
    schemas: Mapping[str, Schema] = field(default_factory=dict)


# -- words to write schemas in -------------------------------------------------------------------

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
NULL: Schema = {"type": "null"}
OBJECT: Schema = {"type": "object"}
OPTIONAL_URL: Schema = {"type": "string", "pattern": f"^$|{WEB_ADDRESS}"}
PLAIN_TEXT: Schema = {"type": "string", "pattern": TEXT}
BINARY: Schema = {"type": "string", "format": "binary"}
EVENT: Schema = {"type": "object", "properties": {"event": STRING, "id": STRING, "data": STRING}}
"""One server-sent event."""

MOMENT: Schema = {
    "anyOf": [
        {"type": "string", "format": "date-time", "pattern": "^[12][0-9]{3}-"},
        {"type": "string", "maxLength": 0},
    ]
}
"""A time; an empty text is none."""
LORA_NAME: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}$"}


def named(loras: Schema) -> Schema:
    """The rules of a list of adapters, each by the name it has on this server."""
    item = loras["items"]
    fields = {**item["properties"], "path": {**item["properties"]["path"], **LORA_NAME}}
    return {**loras, "items": {**item, "properties": fields}}


def record(fields: Mapping[str, Schema], *, optional: Sequence[str] = ()) -> Schema:
    """An object of exactly these fields; the optional ones may be missing."""
    return {
        "type": "object",
        "properties": dict(fields),
        "required": [name for name in fields if name not in optional],
        "additionalProperties": False,
    }


def ref(name: str) -> Schema:
    """One of the document's own schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def either(*schemas: Schema) -> Schema:
    """Any of these."""
    return {"anyOf": list(schemas)}


def maybe(schema: Schema) -> Schema:
    """This, or null."""
    return either(schema, NULL)


def many(schema: Schema, **limits: int) -> Schema:
    """A list of these."""
    return {"type": "array", "items": schema, **limits}


def one_of(words: Sequence[Any], kind: str = "string") -> Schema:
    """One of these values."""
    return {"type": kind, "enum": list(words)}


def says(description: str, schema: Schema, media: str = JSON) -> Reply:
    """An answer with one kind of body."""
    return Reply(description=description, content={media: schema})


PICTURE_BYTES: Schema = {BYTES: {}, "image/*": {}}
DOWNLOADED: Mapping[int, Reply] = {
    200: Reply(description="All of them.", content=PICTURE_BYTES),
    206: Reply(description="The range asked for.", content=PICTURE_BYTES),
    304: Reply(description="The caller has them."),
    416: Reply(description="There is no such range."),
}
"""The answers of an address that sends a file's bytes."""
