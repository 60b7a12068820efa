"""Whatever a caller sends, a protocol understands it or refuses it in its own words."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retouch.domain.errors import NotFound, RetouchError
from retouch.protocols import DIALECTS, Dialect
from retouch.protocols.base import Answer, Call, Model, Part, Verb

MODELS = [(dialect, model) for dialect in DIALECTS for model in dialect.models]
PICTURES = (
    "https://pictures.example/a.png", "http://[::1", "data:image/png;base64,AAAA", "data:,%zz",
    "data:;base64,\u00e9", "https://edit.example/v1/files/0123456789abcdefghjkmnpqrs", "//x",
    "http://a/files/x?y#z", "\0", "",
)  # fmt: skip

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(PICTURES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def bodies(model: Model) -> st.SearchStrategy[Any]:
    names = [*model.schema["properties"], "auth", "images"]
    likely = {name: st.sampled_from(_likely(rules)) for name, rules in _fields(model).items()}
    inputs = st.dictionaries(st.sampled_from(names), json_values, max_size=8)
    fitting = st.fixed_dictionaries({}, optional=likely)
    mixed = st.builds(lambda one, two: {**one, **two}, fitting, inputs) | fitting
    wrapped = st.fixed_dictionaries({"input": mixed | json_values}, optional={
        "version": json_values, "webhook": json_values, "stream": json_values, "x": json_values,
        "webhook_completed": json_values, "webhook_events_filter": json_values,
    })  # fmt: skip
    return wrapped | mixed | json_values


def _fields(model: Model) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = model.schema["properties"]
    return fields


def _likely(rules: Mapping[str, Any]) -> list[Any]:
    match rules:
        case {"enum": choices}:
            return list(choices)
        case {"format": "uri"}:
            return list(PICTURES)
        case {"items": _}:
            return [list(PICTURES[:2]), list(PICTURES), []]
        case {"type": "integer" | "number"}:
            return [0, 1, 2, 4, 10, 50, -1, 2**63, 1e308, 0.5]
        case {"type": "boolean"}:
            return [True, False]
        case _:
            return ["make it blue", "", "\0"]


def refusal(dialect: Dialect, call: Call, read: Callable[[Call], Any]) -> Answer | None:
    try:
        read(call)
    except RetouchError as error:
        return dialect.refuse(call, error)
    return None


def create(dialect: Dialect, model: Model, body: bytes) -> Call:
    """A create of this model, by the address that names it, in the path or as parameters."""
    paths = [it.path for it in dialect.routes if it.verb is Verb.SUBMIT]
    path = next((it for it in paths if model.name in it or "{name}" in it), paths[0])
    owner, _, name = model.name.partition("/")
    params = {"owner": owner, "name": name} if "{name}" in path else {}
    return Call(method="POST", path=path, params=params, body=body)


@pytest.mark.parametrize(("dialect", "model"), MODELS, ids=lambda it: it.name)
def test_a_create_is_understood_or_refused(dialect: Dialect, model: Model) -> None:
    @given(bodies(model))
    @settings(max_examples=30, database=None)
    def check(body: Any) -> None:
        call = create(dialect, model, json.dumps(body).encode())
        answer = refusal(dialect, call, dialect.parse)
        if answer is not None:
            assert 400 <= answer.status < 500
            assert isinstance(answer.body, dict)
        else:
            submission = dialect.parse(call)
            lost = dialect.refuse(call, NotFound("file", "x"))
            assert isinstance(lost.body, dict)
            assert submission.model == model.name
            assert 1 <= submission.edit.output_quality <= 100
            assert set(submission.input) <= set(model.schema["properties"])
            assert "auth" not in submission.input

    check()


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda it: it.name)
def test_any_bytes_any_query_and_any_parts_are_survived(dialect: Dialect) -> None:
    texts = st.dictionaries(
        st.sampled_from(["cursor", "created_after", "created_before", "source", "limit"]),
        st.text(),
    )
    parts = st.lists(
        st.builds(
            Part,
            name=st.sampled_from(["content", "metadata", "metadata[a]", "metadata[", "type"]),
            data=st.binary() | st.sampled_from([b"{}", b"[", b"null"]),
            filename=st.none() | st.text(),
        )
    )

    @given(st.binary(), texts, parts)
    @settings(max_examples=50, database=None)
    def check(body: bytes, query: dict[str, str], sent: list[Part]) -> None:
        call = Call(method="POST", path="/", body=body, query=query)
        files = dialect.files
        reads = (dialect.parse, dialect.listing, files.listing, lambda it: files.upload(it, sent))
        for read in reads:
            answer = refusal(dialect, call, read)
            assert answer is None or isinstance(answer.body, dict)

    check()
