"""The error tables: broken rules, refused calls and failed predictions in fal's words."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

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
from retouch.domain.failure import BAD_INPUT, BLOCKED, MASK_PLACE, Failure, FailureKind
from retouch.domain.ids import as_uuid
from retouch.domain.prediction import Prediction, Status
from retouch.protocols.base import Answer, Call, retry_after
from retouch.protocols.fal.fields import MASK, PICTURES
from retouch.protocols.schema import Fault
from retouch.protocols.values import after, as_json, shown

NAMES = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what a header may repeat of an address
KINDS = {
    "missing": "A field without a default was left out.",
    "string_type": "The value is not a string.",
    "int_parsing": "The text is not an integer.",
    "float_parsing": "The text is not a number.",
    "bool_parsing": "The text is neither true nor false.",
    "int_type": "The value is not an integer.",
    "float_type": "The value is not a number.",
    "bool_type": "The value is not true or false.",
    "list_type": "The value is not a list.",
    "dict_type": "The value is not an object.",
    "literal_error": "The value is none of those allowed.",
    "greater_than_equal": "The value is too small.",
    "less_than_equal": "The value is too large.",
    "sequence_too_short": "The list has too few items.",
    "sequence_too_long": "The list has too many items.",
    "value_error": "The value cannot be understood.",
    "json_invalid": "The body is not JSON.",
    "feature_not_supported": "This server does not do that.",
    "content_policy_violation": "A safety check refused the prompt or a picture.",
    "idempotency_key_reused": "The key was sent before with another request.",
    "file_download_error": "A picture could not be fetched.",
    "file_too_large": "A picture has too many bytes.",
    "image_load_error": "A picture could not be decoded.",
    "image_too_large": "A picture has too many pixels.",
    "internal_server_error": "The server failed, not the request.",
}
"""Every `type` we say, and what it means; each error links here."""

TYPES = {
    "string": ("string_type", "Input should be a valid string"),
    "integer": ("int_type", "Input should be a valid integer"),
    "number": ("float_type", "Input should be a valid number"),
    "boolean": ("bool_type", "Input should be a valid boolean"),
    "array": ("list_type", "Input should be a valid list"),
    "object": ("dict_type", "Input should be a valid dictionary"),
}
RULES = {
    "required": ("missing", "Field required"),
    "minimum": ("greater_than_equal", "Input should be greater than or equal to {limit}"),
    "maximum": ("less_than_equal", "Input should be less than or equal to {limit}"),
    "enum": ("literal_error", "Input should be {choices}"),
    "minItems": ("sequence_too_short", "List should have at least {limit} items"),
    "maxItems": ("sequence_too_long", "List should have at most {limit} items"),
    "format": ("value_error", "Value error, not an http(s) URL or a data URI of a picture"),
    "anyOf": ("value_error", "Value error, neither a size's name nor 16 to 4096 pixels a side"),
}
"""Schema keyword to error type and words: those of pydantic, which fal's models are checked by."""

UNREADABLE = {"invalid_json": "json_invalid", "invalid_multipart": "value_error"}
"""What fal calls a body that cannot be read."""

LIMITS = {
    "greater_than_equal": "ge",
    "less_than_equal": "le",
    "literal_error": "expected",
    "sequence_too_short": "min_length",
    "sequence_too_long": "max_length",
}
"""Under which key `ctx` tells the limit that a message ends with."""


PARSING = {
    "integer": ("int_parsing", "unable to parse string as an integer"),
    "number": ("float_parsing", "unable to parse string as a number"),
    "boolean": ("bool_parsing", "unable to interpret input"),
}
"""The type, and how the sentence goes on, for a text that does not spell what it should."""


def violation(fault: Fault) -> Violation:
    path = (*fault.path, fault.limit) if fault.rule == "required" else fault.path
    if fault.rule == "type":
        kind, words = TYPES[fault.limit]
        if fault.given == "string" and fault.limit in PARSING:
            kind, more = PARSING[fault.limit]
            words = f"{words}, {more}"
    else:
        kind, words = RULES[fault.rule]
        choices = [f"'{it}'" for it in fault.limit] if fault.rule == "enum" else []
        listed = " or ".join((", ".join(choices[:-1]), *choices[-1:])) if choices else ""
        words = words.format(limit=fault.limit, choices=listed)
    return Violation(".".join(map(str, path)), kind, words, fault.value)


def refuse(field: str, kind: str, words: str, value: object = None) -> NoReturn:
    raise InvalidEdit((Violation(field, kind, words, shown(value)),))


# -- answers -------------------------------------------------------------------------------------


def headers_of(call: Call, id: str = "", **more: str) -> dict[str, str]:
    """What every answer carries: the request it speaks of, or its own name in our log."""
    asked = call.params.get("id", "")
    named = id or (asked if NAMES.fullmatch(asked) else call.request_id)
    head = {"x-fal-request-id": as_uuid(named), "cache-control": "no-store"}
    return {**head, **{name.replace("_", "-"): value for name, value in more.items()}}


def flat(
    call: Call, status: int, detail: str, kind: str = "", *, id: str = "", **more: str
) -> Answer:
    """An error of the platform's; `message` is what one client shows instead of the detail."""
    body = {"detail": detail, **({"error_type": kind} if kind else {}), "message": detail}
    if kind:
        more["x_fal_error_type"] = kind
    return Answer(status=status, body=body, headers=headers_of(call, id, **more))


def listed(call: Call, status: int, violations: Sequence[Violation], *, id: str = "") -> Answer:
    """An error of a model's: one entry per broken rule."""
    detail = [_entry(call, it) for it in violations]
    places = [
        (".".join(map(str, it["loc"][1:])), after(broken.description, broken.value))
        for it, broken in zip(detail, violations, strict=True)
    ]
    message = "; ".join(f"{place}: {words}" if place else words for place, words in places)
    headers = headers_of(call, id, x_fal_billable_units="0")
    return Answer(status=status, body={"detail": detail, "message": message}, headers=headers)


def _entry(call: Call, it: Violation) -> dict[str, Any]:
    kind = UNREADABLE.get(it.kind, it.kind)
    where, names = _place(it.field)
    loc = [where, *(int(n) if n.isdecimal() else n for n in names.split(".") if n)]
    entry: dict[str, Any] = {
        "loc": loc,
        "msg": it.description,
        "type": kind,
        "url": call.url(f"/errors#{kind}"),
    }
    if it.kind in LIMITS:
        entry["ctx"] = {LIMITS[it.kind]: _limit(it)}
    if it.value is not None:
        entry["input"] = as_json(it.value)
    return entry


def _place(field: str) -> tuple[str, str]:
    """Where a field is, and its name: `?` begins a query's, `x-fal-` a header's."""
    if field.startswith("?"):
        return "query", field[1:]
    return ("header" if field.startswith("x-fal-") else "body"), field


def _limit(it: Violation) -> Any:
    words = it.description.removeprefix("Input should be ").removesuffix(" items")
    return words if it.kind == "literal_error" else json.loads(words.rpartition(" ")[2])


def refused(call: Call, error: RetouchError) -> Answer:
    match error:
        case Stopping():
            wait = str(retry_after(error))
            return flat(call, 503, "The server is stopping.", retry_after=wait)
        case InvalidEdit():
            return listed(call, 422, error.violations)
        case NotFound(what="prediction") if call.method == "PUT":
            return Answer(status=404, body={"status": "NOT_FOUND"}, headers=headers_of(call))
        case NotFound(what="prediction"):
            return flat(call, 404, "Request not found", x_fal_billable_units="0")
        case NotFound(what="file" | "part") if "ticket" in call.params:
            return flat(call, 404, "There is no such upload, or it has expired")
        case NotFound(what="file") if call.method == "POST":
            return listed(call, 422, (_lost_file(call, error.name),))
        case NotFound():
            words = f"Path {error.name if error.what == 'address' else call.path} not found"
            return flat(call, 404, words, x_fal_billable_units="0")
        case Unauthenticated():
            words = "No credential was sent" if error.missing else "The credential is not valid"
            return flat(call, 401, f"{words}; send it as Authorization: Key ...")
        case Forbidden():
            return flat(call, 403, str(error))
        case TooLarge(what="input image"):
            where, words = _field_naming(call.json(), "\0"), f"{str(error).capitalize()}."
            return listed(call, 422, (Violation(where, "file_too_large", words),))
        case TooLarge():
            return flat(call, 413, f"{str(error).capitalize()}.")
        case Encoded():
            return flat(call, 415, f"{str(error).capitalize()}.")
        case Throttled() | Busy():
            # 429 for both: this status alone has every client of fal's come back by itself.
            kind = "concurrent_requests_limit" if getattr(error, "in_flight", False) else ""
            wait = str(retry_after(error))
            more = {"retry_after": wait, "x_fal_needs_retry": "1"}
            return flat(call, 429, f"{str(error).capitalize()}.", kind, **more)
        case _:
            return flat(call, 500, "Internal server error", "internal_error")


def _lost_file(call: Call, file_id: str) -> Violation:
    """The violation for an input that names a file the caller does not have."""
    words = "The file is not one of yours, or it has expired"
    return Violation(_field_naming(call.json(), file_id), "file_download_error", words)


def _field_naming(fields: Mapping[str, Any], text: str) -> str:
    """The picture field whose value holds a text; the only one there is when none does."""
    for name in PICTURES:
        value = fields.get(name)
        if isinstance(value, str) and text in value:
            return name
        for number, item in enumerate(value if isinstance(value, list) else []):
            if isinstance(item, str) and text in item:
                return f"{name}.{number}"
    return next((name for name in PICTURES if name in fields), "image_url")


# -- failed predictions --------------------------------------------------------------------------

FAILURES = {
    FailureKind.BLOCKED_REQUEST: "content_policy_violation",
    FailureKind.BLOCKED_RESULT: "content_policy_violation",
    FailureKind.NOT_STARTED: "request_timeout",
    FailureKind.UNFETCHED: "file_download_error",
    FailureKind.UNREADABLE: "image_load_error",
    FailureKind.TOO_MANY_BYTES: "file_too_large",
    FailureKind.TOO_MANY_PIXELS: "image_too_large",
    FailureKind.INVALID: "value_error",
}
"""The error types of kinds of failure. Any other is the server's fault."""


def failure_type(it: Prediction) -> str:
    """The error type of a prediction that failed or was cancelled."""
    if it.status is Status.CANCELED:
        return "client_cancelled"
    kind = None if it.failure is None else FAILURES.get(it.failure.kind)
    return kind or "internal_server_error"


def failure(call: Call, it: Prediction) -> Answer:
    """The answer in place of a result, for a prediction that failed or was cancelled."""
    kind = failure_type(it)
    if kind == "client_cancelled":
        return flat(call, 499, "The request was cancelled", kind, id=it.id)
    words = it.error or "The request failed"
    if kind == "request_timeout":  # the header keeps clients from asking again
        return flat(call, 504, words, kind, id=it.id, x_fal_request_timeout_type="user")
    if kind == "internal_server_error":
        return listed(call, 500, (Violation("", kind, words),), id=it.id)
    return listed(call, 422, (Violation(_faulty_field(it), kind, words),), id=it.id)


def _faulty_field(it: Prediction) -> str:
    """The field that a failure is the fault of; none for a sentence that names it itself."""
    match it.failure:
        case Failure(kind) if kind in BLOCKED:
            return "prompt"
        case Failure(kind, _, picture) if kind in BAD_INPUT:
            return MASK if picture == MASK_PLACE else _picture_field(it.input, picture)
        case _:
            return ""


def _picture_field(fields: Mapping[str, Any], picture: int | None) -> str:
    """The field of one of the edit's pictures; the first there is, while that is not known."""
    names = [name for name in PICTURES if name in fields and name != MASK]
    places = [place for name in names for place in _places(name, fields[name])]
    if picture is None or picture >= len(places):
        return names[0] if names else "image_url"
    return places[picture]


def _places(name: str, value: Any) -> Sequence[str]:
    """A field of one picture, or the items of one of several."""
    return [f"{name}.{n}" for n in range(len(value))] if isinstance(value, list) else [name]
