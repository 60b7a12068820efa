"""OpenAI's part of its OpenAPI document: what each address takes and answers."""

from collections.abc import Mapping
from typing import Any

from retouch.protocols.openai.fields import (
    IMAGE_FIELDS,
    INPUTS,
    LISTED,
    MASK,
    MAX_IMAGES,
    PURPOSES,
    SCHEMA,
)
from retouch.protocols.openai.files import LONGEST_PAGE, PAGE
from retouch.protocols.operation import (
    BINARY,
    BOOLEAN,
    DOWNLOADED,
    EVENT,
    EVENTS,
    FORM,
    INTEGER,
    JSON,
    NULL,
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
from retouch.protocols.schema import PICTURE, published

SIZE = "auto, or WIDTHxHEIGHT: multiples of 16, between 1:3 and 3:1, at most 4096 a side."
NOTHING = {"type": "string", "maxLength": 0}
PICTURE_TEXT = {"type": "string", "pattern": PICTURE}
IMAGE = either(
    PICTURE_TEXT,
    {
        "type": "object",
        "required": ["image_url"],
        "properties": {
            "image_url": either(
                PICTURE_TEXT,
                {"type": "object", "required": ["url"], "properties": {"url": PICTURE_TEXT}},
            )
        },
    },
    {
        "type": "object",
        "required": ["file_id"],
        "properties": {"file_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}},
    },
)
SOME = either(IMAGE, many(IMAGE, minItems=1, maxItems=MAX_IMAGES))
IMAGES = {
    "anyOf": [IMAGE, many(IMAGE, maxItems=MAX_IMAGES), NULL],
    "description": f"A picture or a list of them; {MAX_IMAGES} at most in all fields together.",
}


def _fields(rules: Schema) -> dict[str, Any]:
    """An image request's fields, all but the pictures, with what the parser adds."""
    fields = {name: it for name, it in rules["properties"].items() if name != "image"}
    size = {"pattern": "^(auto|[0-9]{1,5}x[0-9]{1,5})$", "description": SIZE}
    return {
        **fields,
        "size": {**fields["size"], **size, "examples": ["auto", "512x512", "768x512"]},
    }


def _inputs() -> dict[str, Any]:
    return {"type": "object", "required": ["prompt"], "properties": _fields(published(SCHEMA))}


def _form() -> dict[str, Any]:
    """The same as the parts of a form: it has no null, and an empty part says nothing."""
    fields = _fields(published({"properties": INPUTS, "required": list(INPUTS)}))
    said = {name: either(it, NOTHING) for name, it in fields.items()}
    properties = {**said, "prompt": fields["prompt"], "image": BINARY}
    return {"type": "object", "required": ["prompt"], "properties": properties}


INPUT, FORM_INPUT = _inputs(), _form()
GENERATION = {**INPUT, "properties": {**INPUT["properties"], **dict.fromkeys(IMAGE_FIELDS, IMAGES)}}
MASKING = {
    "anyOf": [IMAGE, NULL],
    "description": "Of the first picture's size; its transparent pixels say what is to change.",
}
EDIT = {
    **GENERATION,
    "properties": {**GENERATION["properties"], MASK: MASKING},
    "anyOf": [{"required": [name], "properties": {name: SOME}} for name in IMAGE_FIELDS],
}
EDIT_FORM = {
    **FORM_INPUT,
    "required": ["prompt", "image"],
    "properties": {**FORM_INPUT["properties"], MASK: BINARY},
}

FILE_FORM = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {"file": BINARY, "purpose": one_of(PURPOSES)},
}

SCHEMAS: Mapping[str, Schema] = {
    "Generation": GENERATION,
    "Edit": EDIT,
    "GenerationForm": FORM_INPUT,
    "EditForm": EDIT_FORM,
    "Images": record(
        {
            "created": INTEGER,
            "background": STRING,
            "output_format": STRING,
            "quality": STRING,
            "size": STRING,
            "data": many(either(record({"b64_json": STRING}), record({"url": STRING}))),
            "usage": record(
                {
                    "input_tokens": INTEGER,
                    "input_tokens_details": record(
                        {"text_tokens": INTEGER, "image_tokens": INTEGER}
                    ),
                    "output_tokens": INTEGER,
                    "total_tokens": INTEGER,
                }
            ),
        }
    ),
    "Pending": record(
        {
            "id": STRING,
            "object": {"const": "image"},
            "created": INTEGER,
            "status": one_of(["queued", "in_progress"]),
        }
    ),
    "Model": record(
        {
            "id": one_of(LISTED),
            "object": {"const": "model"},
            "created": INTEGER,
            "owned_by": STRING,
            "weights": STRING,
        }
    ),
    "Models": record({"object": {"const": "list"}, "data": many(ref("Model"))}),
    "File": record(
        {
            "id": STRING,
            "object": {"const": "file"},
            "bytes": INTEGER,
            "created_at": INTEGER,
            "expires_at": INTEGER,
            "filename": STRING,
            "purpose": STRING,
            "status": STRING,
        }
    ),
    "DeletedFile": record({"id": STRING, "object": {"const": "file"}, "deleted": {"const": True}}),
    "Files": record(
        {
            "object": {"const": "list"},
            "data": many(ref("File")),
            "first_id": maybe(STRING),
            "last_id": maybe(STRING),
            "has_more": BOOLEAN,
        }
    ),
    "Problem": record(
        {
            "error": record(
                {"message": STRING, "type": STRING, "param": maybe(STRING), "code": maybe(STRING)}
            )
        }
    ),
}

MADE = {
    200: Reply(
        description="The pictures; with `stream` as server-sent events.",
        content={JSON: ref("Images"), EVENTS: EVENT},
    ),
    504: says("They are not done in time.", ref("Problem")),
}
GENERATIONS = Operation(
    summary="Make pictures from a text.",
    body={JSON: ref("Generation"), FORM: ref("GenerationForm")},
    replies=MADE,
)
EDITS = Operation(
    summary="Edit pictures from a text instruction.",
    body={JSON: ref("Edit"), FORM: ref("EditForm")},
    replies=MADE,
)
OPERATIONS = {
    "POST /images/generations": (GENERATIONS,),
    "POST /images/edits": (EDITS,),
    "POST /deployments/{model}/images/generations": (GENERATIONS,),
    "POST /deployments/{model}/images/edits": (EDITS,),
    "GET /images/{id}": (
        Operation(
            summary="A prediction made before, through any protocol; an address of our own.",
            parameters=(Parameter(name="response_format", schema=one_of(["b64_json", "url"])),),
            replies={
                200: says("Its pictures.", ref("Images")),
                202: says("It waits or runs.", ref("Pending")),
                400: says("It was canceled, or what it was made from is at fault.", ref("Problem")),
            },
        ),
    ),
    "POST /images/variations": (
        Operation(
            summary="Not served.", replies={404: says("There is no such thing.", ref("Problem"))}
        ),
    ),
    "GET /models": (
        Operation(summary="Every model.", replies={200: says("The models.", ref("Models"))}),
    ),
    "GET /models/{model}": (
        Operation(
            summary="One model.",
            replies={200: says("The model.", ref("Model"))},
            refusals=(404,),
        ),
    ),
    "GET /files": (
        Operation(
            summary="The caller's files, newest first.",
            parameters=(
                Parameter(
                    name="limit",
                    schema={"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE},
                    description=f"{PAGE} at most come.",
                ),
                Parameter(name="after", description="The last id of the page before."),
                Parameter(name="order", schema=one_of(["desc"])),
                Parameter(name="purpose", description="Nothing but `vision` is kept."),
            ),
            replies={200: says("The files.", ref("Files"))},
            refusals=(404,),
        ),
    ),
    "POST /files": (
        Operation(
            summary="Send a picture, to be named by its id.",
            body={FORM: FILE_FORM},
            replies={200: says("The file.", ref("File"))},
        ),
    ),
    "GET /files/{id}": (
        Operation(summary="A file.", replies={200: says("The file.", ref("File"))}),
    ),
    "DELETE /files/{id}": (
        Operation(summary="Delete a file.", replies={200: says("It is gone.", ref("DeletedFile"))}),
    ),
    "GET /files/{id}/content": (Operation(summary="A file's bytes.", replies=DOWNLOADED),),
}

DESCRIPTION = Description(
    title="retouch as OpenAI Images",
    summary="Edits of pictures, over the OpenAI Images API.",
    operations=OPERATIONS,
    refusal=says("The request is refused.", ref("Problem")),
    schemas=SCHEMAS,
)
