"""What figures and log lines are told of a refused request."""

import re

from starlette.types import Scope

from retouch.domain.errors import Busy, RetouchError, cause_of


def note(scope: Scope, error: RetouchError) -> None:
    """Keep the kind of refusal for the request's line, and what keeps us from serving it."""
    scope["retouch.refusal"] = kind_of(error)
    if isinstance(error, Busy):
        scope["retouch.why"] = {"reason": str(error), "cause": cause_of(error)}


def kind_of(error: RetouchError) -> str:
    """The kind of an error, for figures: `not_found`, `throttled`.

    >>> kind_of(NotFound("model", "x"))
    'not_found'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
