"""The error table: every error of ours in WaveSpeed's envelope.

Two numbers stand in it: `code` repeats the HTTP status, `error_code` is the task code. The words
`timeout`, `connection` and `HTTP 5xx` make its clients try again: they stay out of what is final.
"""

import json
import re
from collections.abc import Sequence
from typing import NoReturn

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
from retouch.protocols.schema import Fault
from retouch.protocols.values import Shown, spelled
from retouch.protocols.wavespeed.fields import TaskCode

RULE_WORDS = {
    "type": "must be of type {limit}",
    "minimum": "must be at least {limit}",
    "maximum": "must be at most {limit}",
    "enum": "must be one of {limit}",
    "format": "must be an http(s) URL or a data URI",
    "pattern": 'must be "WIDTH*HEIGHT", such as "1024*768"',
    "minItems": "must hold at least {limit}",
    "maxItems": "must hold at most {limit}",
}
RETRIED = re.compile("timeout|connection|HTTP 5", re.IGNORECASE)


def violation(fault: Fault) -> Violation:
    field = ".".join(map(str, fault.path))
    if fault.rule == "required":
        return missing(".".join(filter(None, (field, str(fault.limit)))))
    limit = fault.limit
    if field == "content_type" and fault.rule == "pattern":
        return invalid(field, 'must be a type such as "image/png"', fault.value)
    if fault.rule == "maxItems" and limit == 0:
        return invalid(field, "must be empty", fault.value)
    if isinstance(limit, list):
        limit = ", ".join(json.dumps(choice) for choice in limit)
    return invalid(field, RULE_WORDS[fault.rule].format(limit=limit), fault.value)


def missing(field: str) -> Violation:
    return Violation(field, str(TaskCode.MISSING.value), f"parameter {field} is missing")


def invalid(
    field: str, rule: str, value: Shown = None, code: TaskCode = TaskCode.INVALID
) -> Violation:
    words = f"parameter {field} is invalid: {rule}"
    if value is not None and not RETRIED.search(str(value)):
        words = f"{words}, not {spelled(value)}"
    return Violation(field, str(code.value), words, value)


def refuse(broken: Violation) -> NoReturn:
    raise InvalidEdit((broken,))


def problem(status: int, message: str, code: TaskCode | None = None, *, wait: int = 0) -> Answer:
    """The envelope of a refusal. Its text stands twice: older front ends read `error`."""
    body = {"code": status, "message": message, "data": None, "error": message}
    if code is not None:
        body["error_code"] = code.value
    headers = dict(NO_STORE)
    if wait:
        headers["retry-after"] = str(wait)
    return Answer(status=status, body=body, headers=headers)


def refused(call: Call, error: RetouchError) -> Answer:
    match error:
        case InvalidEdit():
            return _invalid(error.violations)
        case NotFound(what="file") if call.method == "POST":
            return problem(400, "an input file is not there any more", TaskCode.UNREADABLE)
        case NotFound(what="address") if call.method == "POST":
            return problem(404, "model not found: no model of ours has this address")
        case NotFound():
            return problem(404, f"{error.what} not found")
        case Unauthenticated(missing=True):
            return problem(401, "Unauthorized: send your key as Authorization: Bearer <key>")
        case Unauthenticated():
            return problem(401, "Unauthorized: the key is not valid")
        case Forbidden():
            return problem(403, str(error))
        case TooLarge():
            return problem(413, str(error))
        case Encoded():
            return problem(415, str(error))
        case Throttled():
            words = f"HTTP 429: too many requests: {error}; please try again"
            return problem(429, words, wait=retry_after(error))
        case Busy():
            return problem(
                503,
                "HTTP 503: the server cannot take the request now; please try again",
                TaskCode.UNAVAILABLE,
                wait=retry_after(error),
            )
        case _:
            return problem(500, "internal error", TaskCode.INTERNAL)


def _invalid(violations: Sequence[Violation]) -> Answer:
    """The first kind of fault gives the code; a missing parameter comes before a wrong one."""
    codes = [int(it.kind) for it in violations if it.kind.isdecimal()]
    message = "; ".join(it.description for it in violations)
    return problem(400, message, TaskCode(min(codes, default=TaskCode.INVALID)))
