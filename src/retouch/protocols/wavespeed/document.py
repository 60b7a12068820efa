"""WaveSpeed's part of its OpenAPI document: what each address takes and answers."""

from collections.abc import Mapping
from typing import Any

from retouch.protocols.operation import (
    BINARY,
    BOOLEAN,
    BYTES,
    FORM,
    INTEGER,
    JSON,
    MOMENT,
    NULL,
    NUMBER,
    OBJECT,
    OPTIONAL_URL,
    STRING,
    Description,
    Operation,
    Parameter,
    Reply,
    Schema,
    many,
    maybe,
    named,
    one_of,
    record,
    ref,
    says,
)
from retouch.protocols.schema import published
from retouch.protocols.wavespeed.fields import (
    BY_NAME,
    DELETE_RULES,
    LIST_RULES,
    MODELS,
    PRICE_RULES,
    STATUS_WORDS,
    UPLOAD_LIMIT_BYTES,
    UPLOAD_RULES,
    USAGE_RULES,
    TaskCode,
)
from retouch.protocols.wavespeed.files import KINDS

SIDE = "(25[6-9]|2[6-9][0-9]|[3-9][0-9]{2}|1[0-4][0-9]{2}|15[0-2][0-9]|153[0-6])"
"""A number from MIN_SIDE to MAX_SIDE, as a pattern can say it."""


def _input(schema: Schema) -> dict[str, Any]:
    """The rules of one model's input, with what its parser adds to them."""
    inputs = published(schema)
    fields = inputs["properties"]
    if "size" in fields:
        fields["size"] = {**fields["size"], "pattern": rf"^{SIDE}\*{SIDE}$"}
    if "loras" in fields:
        fields["loras"] = named(fields["loras"])
    if "safety_tolerance" in fields:
        rules = fields["safety_tolerance"]
        fields["safety_tolerance"] = {
            **{name: rules[name] for name in rules if name not in ("minimum", "maximum")},
            "type": ["integer", "string", "null"],
            "enum": [1, 2, 3, 4, 5, "1", "2", "3", "4", "5", None],
        }
    return inputs


def _rules(schema: Schema, **more: Mapping[str, Any]) -> dict[str, Any]:
    """The rules of another body, some of its fields in other words."""
    rules = published(schema)
    return {**rules, "properties": {**rules["properties"], **more}}


def _done(description: str, data: Schema) -> Reply:
    """The envelope of success."""
    envelope: Mapping[str, Schema] = {
        "code": {"const": 200},
        "message": {"const": "success"},
        "data": data,
    }
    return says(description, record(envelope))


TASK = {
    "id": STRING,
    "model": STRING,
    "outputs": many(STRING),
    "urls": record({"get": STRING}),
    "has_nsfw_contents": many(BOOLEAN),
    "status": one_of(list(dict.fromkeys(STATUS_WORDS.values()))),
    "created_at": STRING,
    "error": STRING,
    "timings": record({"inference": INTEGER}),
    "executionTime": INTEGER,
    "code": one_of([it.value for it in TaskCode], "integer"),
}
FILE = {"type": one_of([*KINDS, "file"]), "download_url": STRING, "filename": STRING}

SCHEMAS: Mapping[str, Schema] = {
    **{model.name.replace("/", "."): _input(model.schema) for model in MODELS},
    "Task": record(TASK, optional=("code",)),
    "ListedTask": record({**TASK, "input": OBJECT}, optional=("code", "input")),
    "Model": record(
        {
            "model_id": STRING,
            "name": STRING,
            "description": STRING,
            "type": one_of(["image-to-image", "text-to-image"]),
            "base_price": NUMBER,
            "formula": STRING,
            "api_schema": OBJECT,
        }
    ),
    "Problem": record(
        {
            "code": {**INTEGER, "description": "The HTTP status."},
            "message": STRING,
            "data": NULL,
            "error": STRING,
            "error_code": one_of([it.value for it in TaskCode], "integer"),
        },
        optional=("error_code",),
    ),
}

TASK_IS = _done("The task.", ref("Task"))
WEBHOOK = Parameter(name="webhook", schema=OPTIONAL_URL, description="Told of the end.")
SUBMITS = {
    f"POST /{model.name}": (
        Operation(
            summary=model.description,
            body={JSON: ref(model.name.replace("/", "."))},
            parameters=(WEBHOOK,),
            replies={200: TASK_IS},
        ),
    )
    for model in MODELS
}
PRICED = _rules(PRICE_RULES, model_id=one_of(list(BY_NAME)))
STATUS = Operation(summary="A task, and its result once it has one.", replies={200: TASK_IS})
COUNTED = {"count": INTEGER, "amount": NUMBER}
SIZE = {**INTEGER, "minimum": 1, "maximum": UPLOAD_LIMIT_BYTES}
WHEN = {"type": "string", "format": "date-time", "pattern": "^[12][0-9]{3}-"}
LIST_FIELDS = {
    "model": maybe(STRING),
    "status": maybe(STRING),
    "created_after": maybe(MOMENT),
    "created_before": maybe(MOMENT),
}


def _price(summary: str, **amounts: Schema) -> Operation:
    answer = record({"model_id": STRING, **amounts, "currency": STRING})
    replies = {200: _done("Nothing is charged here.", answer)}
    return Operation(summary=summary, body={JSON: PRICED}, replies=replies, refusals=(400, 404))


OPERATIONS = {
    "GET /predictions/{id}/result": (STATUS,),
    "GET /predictions/{id}": (STATUS,),
    "POST /predictions/delete": (
        Operation(
            summary="Delete several tasks; what still runs is ended.",
            body={JSON: DELETE_RULES},
            replies={200: _done("How many.", record({"deleted_count": INTEGER}))},
        ),
    ),
    "DELETE /predictions/{id}": (
        Operation(
            summary="Delete a task; what still runs is ended.",
            replies={200: _done("It is gone.", record({"id": STRING, "status": STRING}))},
        ),
    ),
    "POST /predictions": (
        Operation(
            summary="The caller's tasks, by pages.",
            body={JSON: _rules(LIST_RULES, **LIST_FIELDS)},
            needs_body=False,
            replies={
                200: _done(
                    "A page. `total` is exact on the last one.",
                    record(
                        {"page": INTEGER, "total": INTEGER, "items": many(ref("ListedTask"))},
                        optional=("total",),
                    ),
                )
            },
        ),
    ),
    "POST /user/usage_stats": (
        Operation(
            summary="How many tasks the caller made in a span of at most 31 days.",
            body={
                JSON: _rules(USAGE_RULES, start_time=WHEN, end_time=WHEN, model_uuid=maybe(STRING))
            },
            replies={
                200: _done(
                    "By model and by day.",
                    record(
                        {
                            "per_model_usage": many(record({"model_uuid": STRING, **COUNTED})),
                            "daily_usage": many(record({"date": STRING, **COUNTED})),
                            "summary": record(COUNTED),
                        }
                    ),
                ),
            },
        ),
    ),
    "POST /media/uploads": (
        Operation(
            summary="Announce a file.",
            body={JSON: _rules(UPLOAD_RULES, size=SIZE)},
            replies={
                200: _done(
                    "Where to send it.",
                    record(
                        {
                            **FILE,
                            "size": INTEGER,
                            "upload": record(
                                {"method": {"const": "PUT"}, "url": STRING, "headers": OBJECT}
                            ),
                        }
                    ),
                )
            },
        ),
    ),
    "PUT /media/uploads/{ticket}": (
        Operation(
            summary="Send an announced file's bytes.",
            body={BYTES: BINARY},
            needs_body=False,
            replies={
                200: _done("The file is there.", record({"filename": STRING, "size": INTEGER}))
            },
        ),
    ),
    "POST /media/upload/binary": (
        Operation(
            summary="Send a file.",
            body={FORM: {"type": "object", "required": ["file"], "properties": {"file": BINARY}}},
            replies={200: _done("Its link.", record({**FILE, "size": INTEGER}))},
        ),
    ),
    "GET /balance": (
        Operation(
            summary="The balance: nothing is charged here.",
            replies={200: _done("Nothing.", record({"balance": NUMBER}))},
        ),
    ),
    "GET /webhook/secret": (
        Operation(
            summary="The secret that verifies webhooks.",
            replies={200: _done("The caller's own.", record({"secret": STRING}))},
        ),
    ),
    "GET /models": (
        Operation(
            summary="Every model and its rules.",
            replies={200: _done("The models.", many(ref("Model")))},
        ),
    ),
    "POST /model/pricing": (_price("What one edit costs.", unit_price=NUMBER),),
    "POST /model/price": (_price("What this edit costs.", price=NUMBER, discounted_price=NUMBER),),
    **SUBMITS,
}

DESCRIPTION = Description(
    title="retouch as WaveSpeed",
    summary="Edits of pictures, over the HTTP API of WaveSpeedAI, version 3.",
    operations=OPERATIONS,
    refusal=says("The request is refused.", ref("Problem")),
    schemas=SCHEMAS,
)
