"""Replicate's part of its OpenAPI document: what each address takes and answers."""

from collections.abc import Mapping
from typing import Any

from retouch.domain.edit import MAX_SEED
from retouch.protocols.operation import (
    BINARY,
    BOOLEAN,
    DOWNLOADED,
    EVENT,
    EVENTS,
    FORM,
    INTEGER,
    JSON,
    MOMENT,
    NULL,
    NUMBER,
    OBJECT,
    OPTIONAL_URL,
    PLAIN_TEXT,
    SCALAR,
    STRING,
    Description,
    Operation,
    Parameter,
    Reply,
    Schema,
    either,
    many,
    maybe,
    one_of,
    record,
    ref,
    says,
)
from retouch.protocols.replicate.fields import MODELS, OLD_SCHEMAS, STATUS_WORDS
from retouch.protocols.replicate.webhooks import TELLS
from retouch.protocols.schema import published

PROBLEM_JSON = "application/problem+json"
SEED = {"minimum": 0, "maximum": MAX_SEED}
STRICTER = {"properties": {"safety_tolerance": {"maximum": 2}}}
WITHOUT = {"properties": {"input_image": NULL}}


def _input(schema: Schema) -> dict[str, Any]:
    """The rules of one version's input, with what its parser adds to them."""
    inputs = published(schema)
    fields = inputs["properties"]
    if "seed" in fields:
        fields["seed"] = {**fields["seed"], **SEED}
    if {"input_image", "safety_tolerance"} <= fields.keys():
        inputs["anyOf"] = [WITHOUT, STRICTER]
    return inputs


INPUTS = {
    **{model.name.replace("/", "."): _input(model.schema) for model in MODELS},
    **{f"{version[:12]}": _input(schema) for version, schema in OLD_SCHEMAS.items()},
}
ADDRESS: Schema = {**OPTIONAL_URL, "type": ["string", "null"]}
ENVELOPE: Mapping[str, Schema] = {
    "webhook": {**ADDRESS, "description": "Told of the moves that the filter names."},
    "webhook_completed": {**ADDRESS, "description": "Told of the end; the same as `webhook`."},
    "webhook_events_filter": maybe(many(one_of(list(TELLS)))),
    "stream": {},
}


def _create(input_name: str, *versions: str) -> Schema:
    """The body of a create, of one of these versions if any."""
    named: Mapping[str, Schema] = {"version": one_of(versions)} if versions else {}
    fields = {**named, "input": ref(input_name), **ENVELOPE}
    return record(fields, optional=tuple(ENVELOPE))


def _by_version() -> Schema:
    """A create names its model by a version, by its name, or by both."""
    bodies = []
    for model in MODELS:
        now = [it for it in model.versions if it not in OLD_SCHEMAS]
        words = (model.name, *now, *(f"{model.name}:{it}" for it in now))
        bodies.append(_create(model.name.replace("/", "."), *words))
        bodies += [
            _create(it[:12], it, f"{model.name}:{it}") for it in model.versions if it in OLD_SCHEMAS
        ]
    return either(*bodies)


PREDICTION: Mapping[str, Schema] = {
    "id": STRING,
    "model": STRING,
    "version": STRING,
    "input": OBJECT,
    "logs": STRING,
    "output": either(STRING, many(STRING), NULL),
    "data_removed": BOOLEAN,
    "error": maybe(STRING),
    "status": one_of(list(STATUS_WORDS.values())),
    "created_at": STRING,
    "deadline": STRING,
    "started_at": maybe(STRING),
    "completed_at": maybe(STRING),
    "metrics": {**OBJECT, "additionalProperties": NUMBER},
    "urls": record({"cancel": STRING, "get": STRING, "stream": STRING, "web": STRING}),
}
FILE: Mapping[str, Schema] = {
    "id": STRING,
    "name": STRING,
    "content_type": STRING,
    "size": INTEGER,
    "etag": STRING,
    "checksums": record({"sha256": STRING, "md5": STRING}),
    "metadata": OBJECT,
    "created_at": STRING,
    "expires_at": STRING,
    "urls": record({"get": STRING}),
}
MODEL: Mapping[str, Schema] = {
    "url": STRING,
    "owner": STRING,
    "name": STRING,
    "description": STRING,
    "visibility": STRING,
    "is_official": BOOLEAN,
    "github_url": NULL,
    "paper_url": NULL,
    "license_url": NULL,
    "run_count": INTEGER,
    "cover_image_url": NULL,
    "default_example": NULL,
    "latest_version": ref("Version"),
}


def _page(item: Schema) -> Schema:
    return record({"next": maybe(STRING), "previous": NULL, "results": many(item)})


SCHEMAS: Mapping[str, Schema] = {
    **INPUTS,
    "Prediction": record(
        PREDICTION, optional=("deadline", "started_at", "completed_at", "metrics")
    ),
    "File": record(FILE),
    "Model": record(MODEL),
    "Version": record(
        {"id": STRING, "created_at": STRING, "cog_version": STRING, "openapi_schema": OBJECT}
    ),
    "Problem": record(
        {"title": STRING, "detail": STRING, "status": INTEGER, "retry_after": INTEGER},
        optional=("title", "status", "retry_after"),
    ),
    "BrokenRules": record(
        {
            "detail": STRING,
            "status": INTEGER,
            "title": STRING,
            "invalid_fields": many(
                record(
                    {"type": STRING, "field": STRING, "description": STRING, "value": SCALAR},
                    optional=("value",),
                )
            ),
        },
        optional=("invalid_fields",),
    ),
}

CREATED = {
    201: says("The prediction, just created or over already.", ref("Prediction")),
    202: says("It is not over after the wait that was asked for.", ref("Prediction")),
}
CREATE_HEADERS = (
    Parameter(
        name="Prefer",
        place="header",
        schema={"type": "string", "examples": ["wait", "wait=5"]},
        description="`wait` or `wait=SECONDS`: hold the answer until the end, or for so long.",
    ),
    Parameter(
        name="Cancel-After",
        place="header",
        schema={
            "type": "string",
            "pattern": "^(([1-9][0-9]{0,3}[hm]|([5-9]|[1-9][0-9]{1,4})s?)?)$",
        },
        description="Cancel it if it is not over by then.",
    ),
)


def _creates() -> tuple[Operation, ...]:
    return tuple(
        Operation(
            summary=model.description,
            body={JSON: _create(model.name.replace("/", "."))},
            replies=CREATED,
            parameters=CREATE_HEADERS,
            path=f"/models/{model.name}/predictions",
        )
        for model in MODELS
    )


PREDICTION_IS = says("The prediction.", ref("Prediction"))
STATUS = Operation(summary="A prediction.", replies={200: PREDICTION_IS})
EMPTY_PAGE = says("An empty page.", _page(OBJECT))
MODELS_PAGE = says("The models.", _page(ref("Model")))
SEARCHED = record(
    {
        "query": STRING,
        "models": many(record({"model": ref("Model"), "metadata": OBJECT})),
        "collections": many(OBJECT),
        "pages": many(OBJECT),
    }
)
UPLOAD_FORM = {
    "type": "object",
    "required": ["content"],
    "properties": {
        "content": BINARY,
        "filename": STRING,
        "type": STRING,
        "metadata": {"type": "object", "additionalProperties": PLAIN_TEXT},
    },
}


def _one(summary: str, reply: Reply, **more: Any) -> tuple[Operation, ...]:
    return (Operation(summary=summary, replies={200: reply}, **more),)


OPERATIONS = {
    "POST /predictions": (
        Operation(
            summary="Create a prediction of a version.",
            body={JSON: _by_version()},
            replies=CREATED,
            parameters=CREATE_HEADERS,
        ),
    ),
    "POST /models/{owner}/{name}/predictions": _creates(),
    "GET /predictions": (
        Operation(
            summary="The caller's predictions, newest first.",
            parameters=(
                Parameter(name="cursor", schema={"type": "string", "pattern": "^$"}),
                Parameter(name="created_after", schema=MOMENT),
                Parameter(name="created_before", schema=MOMENT),
                Parameter(name="source", description="`web` finds nothing here."),
            ),
            replies={200: says("A page.", _page(ref("Prediction")))},
        ),
    ),
    "GET /predictions/{id}": (STATUS,),
    "GET /p/{id}": (STATUS,),
    "POST /predictions/{id}/cancel": _one("Cancel a prediction.", PREDICTION_IS),
    "GET /files/bcwr-{ticket}": (
        Operation(
            summary="A prediction's end as server-sent events.",
            replies={
                200: says("The events.", EVENT, EVENTS),
                204: Reply(description="The event of the header was the last."),
            },
            parameters=(Parameter(name="Last-Event-ID", place="header"),),
        ),
    ),
    "POST /files": (
        Operation(
            summary="Send a file.",
            body={FORM: UPLOAD_FORM},
            replies={201: says("The file.", ref("File"))},
        ),
    ),
    "GET /files": _one(
        "The caller's files, newest first.",
        says("A page.", _page(ref("File"))),
        parameters=(Parameter(name="cursor", schema={"type": "string", "pattern": "^$"}),),
    ),
    "GET /files/{id}": _one("A file.", says("The file.", ref("File"))),
    "DELETE /files/{id}": (
        Operation(summary="Delete a file.", replies={204: Reply(description="It is gone.")}),
    ),
    "GET /files/{id}/download": (Operation(summary="A file's bytes.", replies=DOWNLOADED),),
    "GET /models": _one("Every model.", MODELS_PAGE),
    "QUERY /models": _one(
        "Models by words.", MODELS_PAGE, body={"text/plain": STRING}, needs_body=False
    ),
    "GET /models/{owner}/{name}": _one(
        "A model.", says("The model.", ref("Model")), refusals=(404,)
    ),
    "GET /models/{owner}/{name}/versions": (
        Operation(
            summary="Official models have no list of versions.",
            replies={404: says("There is none.", ref("Problem"), PROBLEM_JSON)},
        ),
    ),
    "GET /models/{owner}/{name}/versions/{id}": _one(
        "A version of a model.", says("The version.", ref("Version")), refusals=(404,)
    ),
    "GET /models/{owner}/{name}/examples": _one(
        "Examples of a model: none.", EMPTY_PAGE, refusals=(404,)
    ),
    "GET /models/{owner}/{name}/readme": _one(
        "What there is to say of a model.",
        says("Markdown.", STRING, "text/markdown"),
        refusals=(404,),
    ),
    "GET /search": _one(
        "Models by words.",
        says("What was found.", SEARCHED),
        parameters=(
            Parameter(name="query", schema={"type": "string", "minLength": 1}, required=True),
            Parameter(name="limit", description="1 to 50; 20 for anything but a number."),
        ),
        refusals=(422,),
    ),
    "GET /account": _one(
        "Who calls.",
        says(
            "The caller.",
            record({"type": STRING, "username": STRING, "name": STRING, "github_url": NULL}),
        ),
    ),
    "GET /hardware": _one(
        "What predictions run on.", says("It.", many(record({"sku": STRING, "name": STRING})))
    ),
    "GET /webhooks/default/secret": _one(
        "What signs the caller's webhooks.", says("The secret.", record({"key": STRING}))
    ),
    "GET /collections": _one("There are none.", EMPTY_PAGE),
    "GET /trainings": _one("There are none.", EMPTY_PAGE),
    "GET /deployments": _one("There are none.", EMPTY_PAGE),
}

DESCRIPTION = Description(
    title="retouch as Replicate",
    summary="Edits of pictures, over the HTTP API of Replicate.",
    operations=OPERATIONS,
    refusals={422: says("The request breaks its rules.", ref("BrokenRules"), PROBLEM_JSON)},
    refusal=says("The request is refused.", ref("Problem"), PROBLEM_JSON),
    schemas=SCHEMAS,
)
