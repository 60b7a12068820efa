"""The error table: every error of ours in the shape and words OpenAI's clients know.

A client repeats 408, 409, 429 and 5xx by itself, unless `x-should-retry` says otherwise: it does
wherever work was spent, or one failing edit would be made three times.
"""

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
from retouch.domain.failure import BAD_INPUT, BLOCKED, MASK_PLACE, Failure, FailureKind
from retouch.domain.prediction import Prediction, Status
from retouch.protocols.base import Answer, Call, retry_after
from retouch.protocols.schema import Fault
from retouch.protocols.values import Bare, Shown, spelled

RULE_WORDS = {
    "type": ("invalid_type", "expected {article} {limit}"),
    "minimum": ("integer_below_min_value", "expected a value of at least {limit}"),
    "maximum": ("integer_above_max_value", "expected a value of at most {limit}"),
    "minLength": ("empty_string", "it must not be empty"),
    "maxLength": ("string_above_max_length", "expected at most {limit} characters"),
    "pattern": ("invalid_value", "expected WIDTH:HEIGHT, such as '16:9'"),
    "enum": ("invalid_value", "supported values are {choices}"),
}
"""Schema keyword to `code` and words."""

REQUEST, USER, SERVER = (
    "invalid_request_error",
    "image_generation_user_error",
    "server_error",
)
FINAL = {"x-should-retry": "false"}


def violation(fault: Fault) -> Violation:
    if fault.rule == "required":
        return missing(str(fault.limit))
    code, words = RULE_WORDS[fault.rule]
    name, article = str(fault.path[0]), "an" if str(fault.limit)[0] in "aeio" else "a"
    choices = ", ".join(f"'{it}'" for it in fault.limit) if fault.rule == "enum" else ""
    rule = words.format(limit=fault.limit, article=article, choices=choices)
    return invalid(name, rule, fault.value, code)


def invalid(name: str, rule: str, value: Shown = None, code: str = "invalid_value") -> Violation:
    got = "" if value is None else f", but got {_spelled(value)}"
    return Violation(name, code, f"Invalid '{name}': {rule}{got}.", value)


def _spelled(value: Shown) -> str:
    is_text = isinstance(value, str) and not isinstance(value, Bare)
    return f"'{value}'" if is_text else spelled(value)


def missing(name: str) -> Violation:
    words = f"Missing required parameter: '{name}'."
    return Violation(name, "missing_required_parameter", words)


def refuse(broken: Violation) -> NoReturn:
    raise InvalidEdit((broken,))


def problem(
    status: int,
    message: str,
    kind: str = REQUEST,
    code: str | None = None,
    *,
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Answer(status=status, body={"error": error}, headers=headers or {})


def refused(call: Call, error: RetouchError) -> Answer:
    match error:
        case InvalidEdit(violations=(first, *_)):
            message = " ".join(f"{it.description.rstrip('.')}." for it in error.violations)
            kind = USER if first.kind.startswith("invalid_image") else REQUEST
            return problem(400, message, kind, first.kind, param=first.field or None)
        case Unauthenticated():
            words = "You did not provide an API key." if error.missing else "Incorrect API key."
            return problem(401, words, code="invalid_api_key")
        case Forbidden():
            return problem(403, str(error), code="insufficient_permissions")
        case NotFound(what="model"):
            words = f"The model '{error.name}' does not exist or you do not have access to it."
            return problem(404, words, code="model_not_found", param="model")
        case NotFound(what="prediction"):
            return problem(404, f"No image found with id '{error.name}'.", code="not_found")
        case NotFound(what="file"):
            return problem(404, f"No such File object: {error.name}", param="file_id")
        case NotFound():
            return problem(404, f"Invalid URL ({call.method} {call.path})", code="unknown_url")
        case TooLarge():
            return problem(413, f"{str(error).capitalize()}.", code="request_too_large")
        case Encoded():
            return problem(415, f"{str(error).capitalize()}.", code="unsupported_content_encoding")
        case Throttled():
            words, code = f"Rate limit reached: {error}.", "rate_limit_exceeded"
            return problem(429, words, "requests", code, headers=_wait(error))
        case Busy():
            words = f"The server is overloaded: {error}."
            return problem(503, words, SERVER, headers=_wait(error))
        case _:
            words = "The server had an error while processing your request."
            return problem(500, words, SERVER, headers=FINAL)


def _wait(error: Busy | Throttled) -> dict[str, str]:
    return {"retry-after": str(retry_after(error))}


def failed(it: Prediction) -> Answer:
    """The answer to a request whose prediction ended without a picture, or has not ended yet."""
    match it.status, it.failure:
        case Status.CANCELED, _:
            return problem(400, "The prediction was canceled.", USER, "canceled", headers=FINAL)
        case Status.FAILED, Failure(kind, error) if kind in BLOCKED:
            return problem(400, error, USER, "moderation_blocked", headers=FINAL)
        case Status.FAILED, Failure(kind, error, picture) if kind in BAD_INPUT:
            param = "mask" if picture == MASK_PLACE else "image"
            return problem(400, error, USER, "invalid_image_file", param=param, headers=FINAL)
        case Status.FAILED, Failure(FailureKind.INVALID, error):
            return problem(400, error, USER, "invalid_value", headers=FINAL)
        case Status.FAILED, _:
            return problem(500, it.error or "", SERVER, headers=FINAL)
        case _:
            words = f"The edit has not ended in time; it goes on as prediction {it.id}."
            return problem(504, words, SERVER, "timeout", headers=FINAL)
