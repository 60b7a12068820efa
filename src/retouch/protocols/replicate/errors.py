"""The error table: every error of ours in the words Replicate's clients know."""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from retouch.domain.errors import (
    Busy,
    Encoded,
    Forbidden,
    InvalidEdit,
    NotFound,
    RetouchError,
    Throttled,
    TooLarge,
    Unauthenticated,
    Violation,
)
from retouch.protocols.base import Answer, Call, retry_after
from retouch.protocols.pictures import texts_in
from retouch.protocols.schema import Fault, type_name
from retouch.protocols.values import as_json, shown

RULE_WORDS = {
    "required": ("required", "{limit} is required"),
    "type": ("invalid_type", "Invalid type. Expected: {limit}, given: {given}"),
    "minimum": ("number_gte", "Must be greater than or equal to {limit}"),
    "maximum": ("number_lte", "Must be less than or equal to {limit}"),
    "enum": ("enum", "{name} must be one of the following: {choices}"),
    "format": ("format", "Does not match format '{limit}'"),
    "minItems": ("array_min_items", "Array must have at least {limit} items"),
    "maxItems": ("array_max_items", "Array must have at most {limit} items"),
}
"""Schema keyword to error type and words: those of the Go validator the vendor uses."""


def violation(fault: Fault) -> Violation:
    kind, words = RULE_WORDS[fault.rule]
    choices = ", ".join(json.dumps(choice) for choice in fault.limit) if kind == "enum" else ""
    name = str(fault.path[-1]) if fault.path else ""
    description = words.format(limit=fault.limit, given=fault.given, name=name, choices=choices)
    field = ".".join(("input", *map(str, fault.path)))
    return Violation(field, kind, description, fault.value)


def mistyped(field: str, wanted: str, value: object) -> Violation:
    words = f"Invalid type. Expected: {wanted}, given: {type_name(value)}"
    return Violation(field, "invalid_type", words, shown(value))


def refuse(field: str, kind: str, description: str, value: object = None) -> NoReturn:
    raise InvalidEdit((Violation(field, kind, description, shown(value)),))


def problem(status: int, detail: str, title: str = "", **more: Any) -> Answer:
    """An error object; `title` comes first when there is one."""
    body = {**({"title": title} if title else {}), "detail": detail, "status": status, **more}
    headers = {"content-type": "application/problem+json"}
    if status >= 500:
        headers["x-should-retry"] = "false"  # or a client sends its create again
    return Answer(status=status, body=body, headers=headers)


def refused(call: Call, error: RetouchError) -> Answer:
    match error:
        case InvalidEdit():
            return _invalid(error.violations)
        case NotFound(what="version") if call.method == "POST":
            words = (
                "The specified version does not exist "
                "(or perhaps you don't have permission to use it?)"
            )
            return problem(422, words, "Invalid version or not permitted")
        case NotFound(what="file") if call.method == "POST":
            return _invalid((_lost_file(call, error.name),))
        case NotFound(what="file"):
            return _plain(404, "File not found")
        case NotFound():
            return problem(404, f"The {error.what} {error.name} was not found or does not exist")
        case Unauthenticated():
            verb = "did not pass an" if error.missing else "did not pass a valid"
            return problem(401, f"You {verb} authentication token", "Unauthenticated")
        case Forbidden():
            return problem(403, str(error), "Permission denied")
        case TooLarge(what="file"):
            size = error.limit_bytes // (1024 * 1024)
            return _plain(413, f"Files must be less than {size}MB in size")
        case TooLarge():
            return problem(413, f"{str(error).capitalize()}.")
        case Encoded():
            return problem(415, f"{str(error).capitalize()}.")
        case Throttled():
            words = f"Request was throttled. Your rate limit ({error}) resets in ~{{wait}}s."
            return _later(429, words, retry_after(error))
        case Busy():
            words = f"The server cannot take the request now: {error}."
            return _later(503, words, retry_after(error))
        case _:
            return problem(500, "An unexpected error occurred.", "Internal server error")


def _invalid(violations: Sequence[Violation]) -> Answer:
    lines = [
        f"- {it.field}: {it.description}\n" if it.field else f"- {it.description}\n"
        for it in violations
    ]
    body = {
        "detail": "".join(lines),
        "status": 422,
        "title": "Input validation failed",
        "invalid_fields": [_entry(it) for it in violations],
    }
    return Answer(status=422, body=body, headers={"content-type": "application/problem+json"})


def _entry(it: Violation) -> dict[str, Any]:
    entry = {"type": it.kind, "field": it.field, "description": it.description}
    return entry if it.value is None else {**entry, "value": as_json(it.value)}


def _plain(status: int, detail: str) -> Answer:
    headers = {"content-type": "application/problem+json"}
    return Answer(status=status, body={"detail": detail}, headers=headers)


def _lost_file(call: Call, file_id: str) -> Violation:
    """The violation for an input that names a file the caller does not have."""
    fields = call.json().get("input", {})
    named = (name for name, value in fields.items() if any(file_id in t for t in texts_in(value)))
    field = ".".join(("input", *sorted(named)[:1]))
    return Violation(field, "file_not_found", "File not found; it may have expired")


def _later(status: int, words: str, wait: int) -> Answer:
    """A refusal that a client may well repeat: nothing was made, or the repetition gets it."""
    answer = problem(status, words.replace("{wait}", str(wait)), retry_after=wait)
    headers = {"content-type": answer.headers["content-type"], "retry-after": str(wait)}
    return Answer(status=status, body=answer.body, headers=headers)
