"""fal's part of its OpenAPI document: what each address takes and answers."""

from collections.abc import Mapping
from typing import Any

from retouch.protocols.fal.errors import KINDS
from retouch.protocols.fal.fields import (
    MODELS,
    PAYLOADS,
    PREFIX,
    PROXY,
    REQUEST,
    SENDING,
    STATUS_WORDS,
)
from retouch.protocols.fal.storage import MAX_PARTS, PLACE_FIELDS
from retouch.protocols.operation import (
    BINARY,
    BOOLEAN,
    BYTES,
    EVENT,
    EVENTS,
    FORM,
    INTEGER,
    JSON,
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
    named,
    one_of,
    record,
    ref,
    says,
)
from retouch.protocols.schema import published

NUMBERS_AS_TEXT = "Numbers and flags may come as text too."


def _input(schema: Schema) -> dict[str, Any]:
    """The rules of one model's input, with what its parser adds to them."""
    inputs = published(schema)
    fields = inputs["properties"]
    if "safety_tolerance" in fields:
        choices = fields["safety_tolerance"]["enum"]
        numbers = [int(it) for it in choices if it is not None]
        fields["safety_tolerance"] = {
            **fields["safety_tolerance"],
            "type": ["string", "integer", "null"],
            "enum": [*choices, *numbers],
        }
    if "loras" in fields:
        fields["loras"] = named(fields["loras"])
    return {**inputs, "description": NUMBERS_AS_TEXT}


def _url(description: str) -> Schema:
    return {"type": "string", "description": description}


URLS = {
    "response_url": _url("Where the result is."),
    "status_url": _url("Where its state is."),
    "cancel_url": _url("Where to cancel it."),
}
METRICS = record({"inference_time": maybe(NUMBER)}, optional=("inference_time",))
WORDS = list(dict.fromkeys(STATUS_WORDS.values()))

SCHEMAS: Mapping[str, Schema] = {
    **{model.name.replace("/", "."): _input(model.schema) for model in MODELS},
    "Queued": record(
        {
            "status": one_of(WORDS[:1]),
            "request_id": STRING,
            **URLS,
            "logs": {"type": "null"},
            "metrics": METRICS,
            "queue_position": INTEGER,
            "gateway_request_id": STRING,
        },
        optional=("gateway_request_id",),
    ),
    "Status": record(
        {
            "status": one_of(WORDS),
            "request_id": STRING,
            **URLS,
            "logs": maybe(many(ref("LogLine"))),
            "metrics": METRICS,
            "queue_position": INTEGER,
            "error": STRING,
            "error_type": STRING,
        },
        optional=("queue_position", "error", "error_type"),
    ),
    "LogLine": record({"message": STRING, "level": STRING, "source": STRING, "timestamp": STRING}),
    "Result": record(
        {
            "images": many(ref("Image")),
            "timings": record({"inference": maybe(NUMBER)}),
            "seed": maybe(INTEGER),
            "has_nsfw_concepts": many(BOOLEAN),
            "prompt": STRING,
        }
    ),
    "Image": record(
        {
            "url": _url("Its address, or a data URI when `sync_mode` was set."),
            "content_type": STRING,
            "file_name": STRING,
            "file_size": INTEGER,
            "width": INTEGER,
            "height": INTEGER,
        }
    ),
    "Keys": record(
        {
            "keys": many(
                record(dict.fromkeys(("crv", "kty", "x", "kid", "use", "alg"), STRING)), minItems=1
            )
        }
    ),
    "Cancel": record(
        {"status": one_of(["CANCELLATION_REQUESTED", "ALREADY_COMPLETED", "NOT_FOUND"])}
    ),
    "Problem": record(
        {"detail": STRING, "error_type": STRING, "message": STRING}, optional=("error_type",)
    ),
    "BrokenRules": record({"detail": many(ref("BrokenRule")), "message": STRING}),
    "BrokenRule": record(
        {
            "loc": many(either(STRING, INTEGER)),
            "msg": STRING,
            "type": one_of(list(KINDS)),
            "url": STRING,
            "ctx": OBJECT,
            "input": SCALAR,
        },
        optional=("ctx", "input"),
    ),
}

FAILED = {
    422: says("The request breaks its rules, or what it names cannot be used.", ref("BrokenRules")),
    499: says("The request was cancelled.", ref("Problem")),
    500: says("The server failed.", either(ref("Problem"), ref("BrokenRules"))),
    504: says("No worker was free in the time that the caller gave it.", ref("Problem")),
}
QUEUED_OR_DONE = says(
    "Its place in the queue; under `/run` its result.", either(ref("Queued"), ref("Result"))
)
STREAMED = says("The result, as one server-sent event.", EVENT, EVENTS)
PRIORITY = Parameter(
    name="X-Fal-Queue-Priority",
    place="header",
    schema={"type": "string", "examples": ["normal", "low"]},
    description="`low` is served after everything else.",
)
WEBHOOK = Parameter(name="fal_webhook", schema=OPTIONAL_URL, description="Told of the end.")
MAX_QUEUE = Parameter(
    name="fal_max_queue_length",
    schema={"type": "string", "pattern": "^[0-9]{0,9}$"},
    description="Refuse it when more requests than these wait.",
)
SECONDS = r"[1-9][0-9]{0,8}(\.[0-9]{1,9})?|0\.[2-9][0-9]{0,8}"
START_TIMEOUT = Parameter(
    name="X-Fal-Request-Start-Timeout",
    place="header",
    schema={"type": "string", "pattern": f"^({SECONDS})?$"},
    description="Seconds; fail it when no worker has started it by then.",
)
LOGS = Parameter(name="logs", description="`1` or `true`: the log lines too.")


def _submit(model_name: str, description: str, path: str, reply: Reply) -> Operation:
    body = {JSON: ref(model_name.replace("/", "."))}
    replies = {200: reply, **FAILED}
    return Operation(
        summary=description,
        body=body,
        replies=replies,
        parameters=(WEBHOOK, MAX_QUEUE, PRIORITY, START_TIMEOUT),
        refusals=(429,),
        path=path,
    )


SUBMITS = {
    f"POST /{it.name}": (_submit(it.name, it.description, f"/{it.name}", QUEUED_OR_DONE),)
    for it in MODELS
}
STREAMS = tuple(_submit(it.name, it.description, f"/{it.name}/stream", STREAMED) for it in MODELS)

FORGOTTEN = Operation(
    summary="Forget a request: its input, its pictures, its logs and its webhook.",
    replies={
        200: says(
            "The pictures that are gone.",
            record(
                {"cdn_delete_results": many(record({"link": STRING, "exception": maybe(STRING)}))}
            ),
        )
    },
)

REQUESTS = {
    f"GET {REQUEST}/status": (
        Operation(
            summary="The state of a request.",
            parameters=(LOGS,),
            replies={
                200: says("It is over.", ref("Status")),
                202: says("It waits or runs.", ref("Status")),
            },
        ),
    ),
    f"GET {REQUEST}/status/stream": (
        Operation(
            summary="Each change of a request's state.",
            parameters=(LOGS,),
            replies={200: says("A server-sent event per change.", EVENT, EVENTS)},
        ),
    ),
    f"PUT {REQUEST}/cancel": (
        Operation(
            summary="Cancel a request.",
            replies={
                202: says("It ends now.", ref("Cancel")),
                400: says("It is over already.", ref("Cancel")),
                404: says("There is no such request.", either(ref("Cancel"), ref("Problem"))),
            },
        ),
    ),
    **{f"DELETE {version}{PAYLOADS}": (FORGOTTEN,) for version in ("", "/v1")},
    f"GET {REQUEST}": (
        Operation(
            summary="The result of a request.",
            replies={
                200: says("The result.", ref("Result")),
                400: says("There is none yet.", ref("Problem")),
                **FAILED,
            },
        ),
    ),
}

PARTS = record({"partNumber": INTEGER, "etag": STRING})
JOINED = Operation(
    summary="Join the parts of an upload.",
    body={
        JSON: {
            "type": "object",
            "required": ["parts"],
            "properties": {
                "parts": many(
                    {
                        "type": "object",
                        "required": ["partNumber"],
                        "properties": {
                            "partNumber": {**INTEGER, "minimum": 1, "maximum": MAX_PARTS},
                            "etag": STRING,
                        },
                    },
                    minItems=1,
                )
            },
        }
    },
    replies={200: says("The file is there.", OBJECT)},
)
FILE_NAME = Parameter(name="X-Fal-File-Name", place="header", description="URL-encoded.")


FILE_FORM: Schema = {"type": "object", "required": ["file"], "properties": {"file": BINARY}}


def _sent(summary: str, reply: Reply) -> Operation:
    return Operation(summary=summary, body={BYTES: BINARY}, needs_body=False, replies={200: reply})


SENT = _sent("Send a file's bytes.", says("The file is there.", OBJECT))
SENT_PART = _sent("Send one part of a file.", says("The part is there.", PARTS))
ANNOUNCED = Operation(
    summary="Announce a file.",
    body={
        JSON: {
            "type": "object",
            "properties": {
                name: {**PLAIN_TEXT, "type": ["string", "null"]} for name in PLACE_FIELDS
            },
        }
    },
    needs_body=False,
    replies={
        200: says("Where to send it.", record({"upload_url": STRING, "file_url": STRING})),
    },
)
STORAGE = {
    "POST /storage/upload/initiate": (ANNOUNCED,),
    "POST /storage/upload/initiate-multipart": (ANNOUNCED,),
    "PUT /storage/upload/{ticket}": (SENT,),
    "POST /storage/upload/{ticket}/complete": (JOINED,),
    "PUT /storage/upload/{ticket}/{part}": (SENT_PART,),
    "POST /storage/auth/token": (
        Operation(
            summary="A token for sending files: the caller's own key.",
            replies={
                200: says(
                    "The token.",
                    record(
                        {
                            "token": STRING,
                            "token_type": STRING,
                            "base_url": STRING,
                            "expires_at": STRING,
                        }
                    ),
                )
            },
        ),
    ),
    "POST /files/upload": (
        Operation(
            summary="Send a file.",
            body={BYTES: BINARY, FORM: FILE_FORM},
            needs_body=False,
            parameters=(FILE_NAME,),
            replies={200: says("Its link.", record({"access_url": STRING}))},
        ),
    ),
    "POST /files/upload/multipart": (
        Operation(
            summary="Announce a file that comes in parts.",
            parameters=(FILE_NAME,),
            replies={
                200: says(
                    "Its link, and the name of the upload.",
                    record({"access_url": STRING, "uploadId": STRING}),
                )
            },
        ),
    ),
    f"POST {SENDING}/complete": (JOINED,),
    f"PUT {SENDING}/{{part}}": (SENT_PART,),
}

PROXIED = Operation(
    summary="A browser's call to the address that `X-Fal-Target-Url` names.",
    replies={400: says("The header names no address of ours.", ref("Problem"))},
)
OTHERS = {
    "GET /errors": (
        Operation(
            summary="Every error type, and what it means.",
            replies={200: says("Words by type.", {**OBJECT, "additionalProperties": STRING})},
        ),
    ),
    "GET /.well-known/jwks.json": (
        Operation(
            summary="The public key that verifies webhooks.",
            replies={200: says("A JSON Web Key Set.", ref("Keys"))},
        ),
    ),
    **{f"{method} {PROXY}": (PROXIED,) for method in ("GET", "POST", "PUT")},
}

DESCRIPTION = Description(
    title="retouch as fal",
    summary="Edits of pictures, over the HTTP API of fal: the queue, and runs under `/run`.",
    operations={
        **SUBMITS,
        f"POST /{PREFIX}/{{name:path}}": STREAMS,
        **REQUESTS,
        **STORAGE,
        **OTHERS,
    },
    refusals={422: FAILED[422]},
    refusal=says("The request is refused.", ref("Problem")),
    schemas=SCHEMAS,
)
