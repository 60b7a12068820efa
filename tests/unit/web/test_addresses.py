"""Addresses two protocols claim: the earlier has them, unless both can be told at once."""

from collections.abc import Sequence

from starlette.responses import Response

from retouch.protocols.base import Answer, Route, Verb
from retouch.protocols.dialect import Dialect
from retouch.web.addresses import joined, table


def dialect(called: str, routes: Sequence[Route]) -> Dialect:
    class Spoken(Dialect):
        name = called
        mounts = ("/v1",)

    Spoken.routes = tuple(routes)
    return Spoken()


def test_the_earlier_protocol_has_an_address_both_claim() -> None:
    first = dialect("first", [Route("POST", "/things", Verb.SUBMIT)])
    second = dialect("second", [Route("POST", "/things", Verb.UPLOAD)])

    [(path, entries)] = table([first, second])

    assert path == "/v1/things"
    assert (entries["POST"].dialect, entries["POST"].beside) == (first, ())


def test_what_can_be_told_at_once_is() -> None:
    first = dialect("first", [Route("GET", "/things", Verb.DESCRIBE, "a")])
    second = dialect("second", [Route("GET", "/things", Verb.DESCRIBE, "b")])

    [(_, entries)] = table([first, second])

    assert entries["GET"].dialect is first
    assert [it.dialect for it in entries["GET"].beside] == [second]


def test_what_is_public_is_never_joined_with_what_asks_for_a_key() -> None:
    first = dialect("first", [Route("GET", "/things", Verb.DESCRIBE, "a", is_open=True)])
    second = dialect("second", [Route("GET", "/things", Verb.DESCRIBE, "b")])

    [(_, entries)] = table([first, second])

    assert entries["GET"].beside == ()


def test_joined_answers_hold_the_keys_of_both_and_the_first_keeps_its_own() -> None:
    first = Answer(status=200, body={"a": 1, "b": 2}, headers={"x": "y"})

    both = joined(first, Answer(status=200, body={"b": 3, "c": 4}))

    assert both == Answer(status=200, body={"a": 1, "b": 2, "c": 4}, headers={"x": "y"})


def test_a_refusal_is_joined_with_nothing() -> None:
    refusal, other = Answer(status=422, body={"a": 1}), Answer(status=200, body={"b": 2})

    assert joined(refusal, other) is refusal
    assert joined(other, refusal) is refusal
    assert isinstance(joined(Response(), other), Response)
