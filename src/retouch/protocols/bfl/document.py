"""BFL's part of its OpenAPI document: what each address takes and answers."""

from retouch.protocols.bfl.fields import (
    IMAGES,
    MODELS,
    MODERATED_WORDS,
    POLL,
    POLL_ID,
    SCHEMA,
    STATUS_WORDS,
    UNKNOWN,
    USAGE,
)
from retouch.protocols.operation import (
    INTEGER,
    JSON,
    NULL,
    NUMBER,
    OBJECT,
    SCALAR,
    STRING,
    Description,
    Operation,
    Parameter,
    either,
    many,
    maybe,
    one_of,
    record,
    ref,
    says,
)
from retouch.protocols.schema import BASE64, PICTURE, WEB_ADDRESS, nullable, published

WORDS = sorted({*STATUS_WORDS.values(), *MODERATED_WORDS.values(), UNKNOWN})
IMAGE = {
    "type": "string",
    "pattern": f"{PICTURE}|{BASE64}",
    "description": "A picture: an http(s) URL, a data URI or base64.",
}
RATIO = {"description": "The shape of the result, 21:9 to 9:21.", "examples": ["16:9", "1:1"]}


def _inputs() -> dict[str, object]:
    """The rules of an edit, with what its parser adds to them."""
    inputs = published(SCHEMA)
    fields = inputs["properties"]
    fields |= {name: nullable({**fields[name], **IMAGE, "type": "string"}) for name in IMAGES}
    fields["webhook_url"] = {**fields["webhook_url"], "pattern": WEB_ADDRESS}
    fields["aspect_ratio"] = {**fields["aspect_ratio"], **RATIO}
    return inputs


TASK = {
    "id": STRING,
    "status": one_of(WORDS),
    "result": maybe(ref("Result")),
    "progress": maybe(NUMBER),
    "details": maybe(OBJECT),
    "preview": NULL,
}
SCHEMAS = {
    "Inputs": _inputs(),
    "Submitted": record(
        {
            "id": STRING,
            "status": one_of(WORDS),
            "webhook_url": STRING,
            "polling_url": STRING,
            "cost": NUMBER,
            "input_mp": maybe(NUMBER),
            "output_mp": maybe(NUMBER),
        },
        optional=("status", "webhook_url"),
    ),
    "Result": record(
        {
            "sample": {**STRING, "description": "The picture's address, for a while."},
            "prompt": STRING,
            "seed": INTEGER,
            "start_time": NUMBER,
            "end_time": NUMBER,
            "duration": NUMBER,
        },
        optional=("seed", "start_time", "end_time", "duration"),
    ),
    "Task": record(TASK),
    "UnknownTask": record({**TASK, "detail": STRING, "message": STRING}),
    "Problem": record({"detail": STRING, "message": STRING}),
    "BrokenRules": record(
        {
            "detail": many(
                record(
                    {
                        "loc": many(either(STRING, INTEGER)),
                        "msg": STRING,
                        "type": STRING,
                        "input": SCALAR,
                    },
                    optional=("input",),
                )
            ),
            "message": STRING,
        }
    ),
}

SUBMITTED = says("The edit is accepted; poll its `polling_url`.", ref("Submitted"))
EDITS = {
    f"POST /{model.name}{ending}": (
        Operation(summary=model.description, body={JSON: ref("Inputs")}, replies={200: SUBMITTED}),
    )
    for model in MODELS
    for ending in ("", "/generate")
}
POLLED = Operation(
    summary="How far an edit is, and its result.",
    parameters=(
        Parameter(name=POLL_ID, required=True, description="The edit's `id`."),
        Parameter(name="ticket", description="The edit's own, from its `polling_url`; for a key."),
    ),
    replies={
        200: says("The task.", ref("Task")),
        404: says("There is no such task.", ref("UnknownTask")),
    },
    refusals=(422,),
)
CREDITS = Operation(
    summary="The balance: nothing is charged here.",
    replies={200: says("No credits.", record({"credits": NUMBER, "detail": STRING}))},
)

REPORT = Operation(
    summary="A report of use; nothing is done with it.",
    body={JSON: published(USAGE)},
    replies={
        200: says(
            "It was understood.",
            record({"model": STRING, "number_of_generations": INTEGER, "detail": STRING}),
        )
    },
    refusals=(422,),
)

DESCRIPTION = Description(
    title="retouch as Black Forest Labs",
    summary="Edits of pictures, over the HTTP API of Black Forest Labs.",
    operations={
        **EDITS,
        f"GET {POLL}": (POLLED,),
        "GET /credits": (CREDITS,),
        "POST /licenses/models/{slug}/usage": (REPORT,),
    },
    refusals={422: says("The request breaks its rules.", ref("BrokenRules"))},
    refusal=says("The request is refused.", ref("Problem")),
    schemas=SCHEMAS,
)
