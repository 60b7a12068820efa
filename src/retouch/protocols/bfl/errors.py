"""The error table: every error of ours in the shape BFL's clients read.

One client shows `detail`, another `message`: every error carries both.
"""

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
from retouch.protocols.base import NO_STORE, Answer, Call, retry_after
from retouch.protocols.bfl.fields import POLL, POLL_ID, UNKNOWN
from retouch.protocols.bfl.render import task_body
from retouch.protocols.schema import Fault
from retouch.protocols.values import after, as_json, shown

RULE_WORDS = {
    "required": ("missing", "Field required"),
    "type": ("{limit}_type", "Input should be a valid {limit}"),
    "minimum": ("greater_than_equal", "Input should be greater than or equal to {limit}"),
    "maximum": ("less_than_equal", "Input should be less than or equal to {limit}"),
    "enum": ("enum", "Input should be {choices}"),
    "minLength": ("string_too_short", "String should have at least {limit} character"),
    "maxLength": ("string_too_long", "String should have at most {limit} characters"),
    "pattern": ("string_pattern_mismatch", "String should match pattern '{limit}'"),
}
"""Schema keyword to error type and words: those of the validator the vendor uses."""

TYPE_NAMES = {"integer": "int", "boolean": "bool", "number": "float", "string": "string"}


def violation(fault: Fault) -> Violation:
    kind, words = RULE_WORDS[fault.rule]
    kind = kind.format(limit=TYPE_NAMES.get(str(fault.limit), fault.limit))
    choices = _either(fault.limit) if fault.rule == "enum" else ""
    field = str(fault.limit) if fault.rule == "required" else str(fault.path[0])
    return Violation(field, kind, words.format(limit=fault.limit, choices=choices), fault.value)


def _either(choices: list[str]) -> str:
    *others, last = [f"'{choice}'" for choice in choices]
    return f"{', '.join(others)} or {last}"


def refuse(field: str, kind: str, description: str, value: object = None) -> NoReturn:
    raise InvalidEdit((Violation(field, kind, description, shown(value)),))


def problem(status: int, detail: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, body={"detail": detail, "message": detail}, headers=named)


def refused(call: Call, error: RetouchError) -> Answer:
    is_poll = call.path.endswith(POLL)
    match error:
        case InvalidEdit():
            return _invalid(error)
        case Unauthenticated():
            return problem(403, "Not authenticated" if error.missing else "Invalid API key")
        case Forbidden():
            return problem(403, str(error))
        case TooLarge():
            return problem(413, f"{str(error).capitalize()}.")
        case Encoded():
            return problem(415, f"{str(error).capitalize()}.")
        case NotFound() if is_poll:
            body = task_body(call.query.get("id", ""))
            return Answer(status=404, body={**body, "detail": UNKNOWN, "message": UNKNOWN})
        case NotFound():
            return problem(404, "Not Found")
        case _ if is_poll:
            # A client takes a failed poll for a failed edit and submits it again.
            body = task_body(call.query.get("id", ""), "Pending")
            return Answer(status=200, body=body, headers=NO_STORE)
        case Throttled():
            return problem(429, f"Too many requests: {error}.", retry_after=str(retry_after(error)))
        case Busy():
            words = f"The server is overloaded: {error}."
            return problem(503, words, retry_after=str(retry_after(error)))
        case _:
            return problem(500, "Internal server error")


def _invalid(error: InvalidEdit) -> Answer:
    detail = [_entry(it) for it in error.violations]
    message = "; ".join(
        f"{it.field or 'body'}: {after(it.description, it.value)}" for it in error.violations
    )
    return Answer(status=422, body={"detail": detail, "message": message})


def _entry(it: Violation) -> dict[str, Any]:
    entry = {"loc": _place(it.field), "msg": it.description, "type": it.kind}
    return entry if it.value is None else {**entry, "input": as_json(it.value)}


def _place(field: str) -> list[str]:
    """Where a field is: only a poll's `id` is not in the body."""
    if field == POLL_ID:
        return ["query", field]
    return ["body", field] if field else ["body"]
