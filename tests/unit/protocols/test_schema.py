"""Checking input: order, absence, formats, and that secrets never leave."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from retouch.protocols import DIALECTS
from retouch.protocols.base import Model
from retouch.protocols.data_uri import parse_data_uri
from retouch.protocols.schema import (
    DATA_URI,
    FORMATS,
    WEB_ADDRESS,
    Fault,
    faults,
    is_uri,
    is_web_address,
    known,
    published,
    type_name,
)

SCHEMA: dict[str, Any] = {
    "required": ["text", "picture"],
    "properties": {
        "number": {"x-order": 2, "type": "integer", "minimum": 1, "maximum": 3},
        "picture": {"x-order": 1, "type": "string", "format": "uri"},
        "text": {"x-order": 0, "type": "string"},
    },
}


def test_faults_follow_x_order_and_not_the_order_they_are_found_in() -> None:
    found = faults(SCHEMA, {"number": 9})

    assert found == [
        Fault((), "required", "text", "undefined"),
        Fault((), "required", "picture", "undefined"),
        Fault(("number",), "maximum", 3, "integer", 9),
    ]


def test_only_known_fields_with_a_value_are_kept_in_order() -> None:
    fields = {"number": None, "secret": "s", "picture": "p", "text": "t"}

    assert list(known(SCHEMA, fields).items()) == [("text", "t"), ("picture", "p")]


def test_a_fault_never_holds_a_secret() -> None:
    secret = {"type": "string", "writeOnly": True, "maxLength": 3}

    (found,) = faults({"properties": {"hidden": secret}}, {"hidden": "my secret"})

    assert found == Fault(("hidden",), "maxLength", 3, "string", None)


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("https://host/a.png", True),
        ("http://127.0.0.1:80/a", True),
        ("DATA:image/png;base64,AA", True),
        ("data:image/png", False),
        ("https://", False),
        ("http://[::1", False),
        ("http://host:99999/a", False),
        ("http://host:8o/a", False),
        ("ftp://host/a", False),
        ("/a.png", False),
        (" https://host/a.png", False),
        ("https://host/a.png\n", False),
        ("", False),
    ],
)
def test_what_can_name_a_picture(text: str, fine: bool) -> None:
    assert is_uri(text) is fine


@pytest.mark.parametrize(
    ("value", "name"),
    [(None, "null"), (True, "boolean"), (1, "integer"), (1.0, "number"), ("", "string"),
     ([], "array"), ({}, "object")],
)  # fmt: skip
def test_types_have_their_json_names(value: object, name: str) -> None:
    assert type_name(value) == name


def whole(pattern: str) -> st.SearchStrategy[str]:
    """Texts that fit a pattern; in JSON Schema its `$` is the end of the text."""
    return st.from_regex(pattern.replace("$", r"\Z"))


@given(whole(WEB_ADDRESS))
def test_an_address_as_we_describe_it_is_taken(text: str) -> None:
    assert is_uri(text)
    assert is_web_address(text)


@given(whole(DATA_URI))
def test_a_data_uri_as_we_describe_it_is_taken(text: str) -> None:
    assert is_uri(text)
    assert parse_data_uri(text, 1_000_000)


def test_published_rules_say_what_absence_and_formats_mean() -> None:
    rules = published(SCHEMA)["properties"]

    assert rules["number"]["type"] == ["integer", "null"]
    assert rules["text"]["type"] == "string"
    assert faults({**SCHEMA, "properties": rules}, {"text": "a\0b", "picture": "ftp://x"}) == [
        Fault(("text",), "pattern", rules["text"]["pattern"], "string", "a\0b"),
        Fault(("picture",), "pattern", rules["picture"]["pattern"], "string", "ftp://x"),
    ]


VALUES = ("", "x", "1:1", "png", 0, 1, 2, 7, -1, 10**9, 1.5, 2.0, True, [], ["x"], {})


@pytest.mark.parametrize("model", [it for dialect in DIALECTS for it in dialect.models])
def test_what_is_taken_without_a_validator_is_what_a_validator_takes(model: Model) -> None:
    schema = {**model.schema, "required": []}
    validator = Draft202012Validator(schema, format_checker=FORMATS)

    for name in schema["properties"]:
        for value in VALUES:
            fields = {name: value}
            assert (not faults(schema, fields)) is validator.is_valid(fields), fields
