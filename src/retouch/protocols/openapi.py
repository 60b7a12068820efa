"""The OpenAPI 3.1 document of a protocol, put together from its routes and what it tells of them.

What an address takes comes from the very schemas that check it. Which errors it can meet follows
from its verb, and their statuses from the protocol's own error table: it is asked, not copied.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import retouch
from retouch.domain.errors import (
    Busy,
    Encoded,
    Forbidden,
    InvalidEdit,
    NotFound,
    RetouchError,
    Stopping,
    Throttled,
    TooLarge,
    Unauthenticated,
    Violation,
)
from retouch.protocols.base import OPEN_VERBS, Call, Route, Verb
from retouch.protocols.dialect import Dialect
from retouch.protocols.operation import Operation, Parameter, Reply, Schema, says

VERSION = "3.1.0"
PLACE = re.compile(r"\{(\w+)(?::\w+)?\}")
METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "PATCH"})

SECURITY: Mapping[str, Schema] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "authorization": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Key` or `Token`, a space, and the key.",
    },
    "x-key": {"type": "apiKey", "in": "header", "name": "x-key"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}

INVALID = InvalidEdit((Violation("", "invalid_json", ""),))
LARGE_BODY, LARGE_FILE = TooLarge("the request body", 1), TooLarge("file", 1)

MEETS: Mapping[Verb, Sequence[RetouchError]] = {
    Verb.SUBMIT: (
        INVALID,
        NotFound("model", ""),
        NotFound("file", ""),
        LARGE_BODY,
        Throttled("", 1.0),
    ),
    Verb.STATUS: (NotFound("prediction", ""),),
    Verb.LIST: (INVALID, LARGE_BODY),
    Verb.CANCEL: (NotFound("prediction", ""),),
    Verb.DELETE: (NotFound("prediction", ""),),
    Verb.DELETE_MANY: (INVALID, LARGE_BODY),
    Verb.STREAM: (NotFound("stream", ""),),
    Verb.FOLLOW: (NotFound("prediction", ""),),
    Verb.UPLOAD: (INVALID, LARGE_FILE),
    Verb.FILE: (NotFound("file", ""),),
    Verb.FILES: (INVALID,),
    Verb.DELETE_FILE: (NotFound("file", ""),),
    Verb.DOWNLOAD: (NotFound("file", ""),),
    Verb.RESERVE: (INVALID, LARGE_BODY, LARGE_FILE),
    Verb.FILL: (NotFound("file", ""), LARGE_FILE),
    Verb.FILL_PART: (NotFound("file", ""), NotFound("part", ""), LARGE_BODY),
    Verb.COMPLETE: (INVALID, NotFound("file", ""), LARGE_FILE),
    Verb.DESCRIBE: (LARGE_BODY,),
}
"""The errors that a verb's handler may raise, besides those that any handler may."""


def openapi(dialect: Dialect, origin: str) -> dict[str, Any]:
    """The document, its addresses under an origin; the first server is the one to use."""
    servers = [{"url": origin + mount} for mount in dialect.mounts]
    return {**_sheet(dialect), "servers": servers}


def operations_of(dialect: Dialect, route: Route) -> Sequence[tuple[str, Operation]]:
    """What a protocol tells of a route, with the path it stands under; never nothing."""
    told_of = dialect.description.operations.get(f"{route.method} {route.path}")
    plain = Operation(summary=route.verb.value, replies={200: says("Done.", {})})
    return [(PLACE.sub(r"{\1}", it.path or route.path), it) for it in told_of or (plain,)]


@lru_cache(maxsize=16)
def _sheet(dialect: Dialect) -> dict[str, Any]:
    """The document without its servers."""
    about, paths = dialect.description, dict[str, dict[str, Any]]()
    for route in dialect.routes:
        for path, operation in operations_of(dialect, route):
            # The version has no word for other methods, and lets extensions have any.
            word = route.method.lower() if route.method in METHODS else f"x-{route.method.lower()}"
            # Where two routes match one address the earlier answers.
            paths.setdefault(path, {}).setdefault(word, _operation(dialect, route, path, operation))
    return {
        "openapi": VERSION,
        "info": {
            "title": about.title or dialect.name,
            "version": retouch.__version__,
            "description": about.summary,
        },
        "servers": [],
        "security": [{name: []} for name in SECURITY],
        "paths": paths,
        "components": {"schemas": dict(about.schemas), "securitySchemes": dict(SECURITY)},
    }


def _operation(dialect: Dialect, route: Route, path: str, told_of: Operation) -> dict[str, Any]:
    sheet: dict[str, Any] = {
        "summary": told_of.summary,
        "operationId": f"{route.method.lower()}{re.sub(r'[^A-Za-z0-9]+', '-', path)}",
        "tags": [route.verb.value],
        "parameters": list(_parameters(path, told_of.parameters)),
    }
    if told_of.body:
        content = {media: {"schema": schema} for media, schema in told_of.body.items()}
        sheet["requestBody"] = {"required": told_of.needs_body, "content": content}
    replies = {**_refusals(dialect, route, told_of), **told_of.replies}
    sheet["responses"] = {str(status): _reply(replies[status]) for status in sorted(replies)}
    if route.is_open or route.verb in OPEN_VERBS:
        sheet["security"] = []
    return sheet


def _parameters(path: str, said: Sequence[Parameter]) -> Iterator[dict[str, Any]]:
    named = {it.name for it in said if it.place == "path"}
    places = [
        Parameter(name=name, place="path", required=True)
        for name in PLACE.findall(path)
        if name not in named
    ]
    for it in (*places, *said):
        about = {"description": it.description} if it.description else {}
        yield {
            "name": it.name,
            "in": it.place,
            "required": it.required or it.place == "path",
            "schema": it.schema,
            **about,
        }


def _refusals(dialect: Dialect, route: Route, told_of: Operation) -> dict[int, Reply]:
    """The errors this address can meet, as the protocol's own table answers them."""
    about, mount = dialect.description, dialect.mounts[0]
    names = PLACE.findall(route.path)
    call = Call(
        method=route.method,
        path=mount + route.path,
        params=dict.fromkeys(names, "x"),
        body=b"{}",
        mount=mount,
    )
    errors: list[RetouchError] = [*MEETS[route.verb], Busy(""), Stopping(), RetouchError()]
    if any(isinstance(it, TooLarge) for it in errors):  # it reads a body
        errors.append(Encoded(""))
    if not (route.is_open or route.verb in OPEN_VERBS):
        errors += [Unauthenticated(missing=True), Forbidden("")]
    if names:
        errors.append(NotFound("address", ""))
    statuses = {dialect.refuse(call, error).status for error in errors} | {*told_of.refusals}
    return {status: about.refusals.get(status, about.refusal) for status in statuses}


def _reply(reply: Reply) -> dict[str, Any]:
    sheet: dict[str, Any] = {"description": reply.description}
    if reply.content:
        sheet["content"] = {media: {"schema": it} for media, it in reply.content.items()}
    return sheet
