"""Data URIs: both encodings, any media type, bounded."""

import base64
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retouch.protocols.data_uri import parse_data_uri

HELLO = "aGVsbG8/Pz8+"  # hello???>


@pytest.mark.parametrize(
    "text",
    [
        f"data:image/png;base64,{HELLO}",
        f"data:;base64,{HELLO}",
        f"DATA:text/plain;charset=utf-8;BASE64,{HELLO}",
        f"data:image/svg+xml;name=a%20b;base64,{HELLO}",
        "data:image/png;base64,aGVsbG8_Pz8-",
        "data:image/png;base64,aGVs\r\nbG8/ Pz8+\n",
        "data:image/png;base64,aGVsbG8%2FPz8%2B",
        "data:text/plain,hello%3F??>",
        "data:,hello???>",
    ],
)
def test_the_forms_that_are_taken(text: str) -> None:
    assert parse_data_uri(text, 100) == b"hello???>"


@pytest.mark.parametrize("text", ["data:;base64,aGk", "data:;base64,aGk=", "data:;base64,aGk%3D"])
def test_padding_is_optional(text: str) -> None:
    assert parse_data_uri(text, 2) == b"hi"


def test_nothing_may_be_inside() -> None:
    assert parse_data_uri("data:image/png;base64,", 0) == b""


@pytest.mark.parametrize("text", ["", "data:", "data:image/png;base64", "http://a/,b", " data:,x"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a data URI"):
        parse_data_uri(text, 100)


@pytest.mark.parametrize("body", ["a", "ab*d", "====a", "aGk=aGk="])
def test_bad_base64_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match="does not hold valid base64"):
        parse_data_uri(f"data:;base64,{body}", 100)


@pytest.mark.parametrize("text", ["data:,é", "data:;base64,é", "data:;base64,\ud800"])
def test_other_than_ascii_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not ASCII"):
        parse_data_uri(text, 100)


@given(st.binary(max_size=64))
def test_the_limit_is_exact_in_both_encodings(data: bytes) -> None:
    for text in (
        "data:a/b;base64," + base64.b64encode(data).decode(),
        "data:a/b," + quote_from_bytes(data, safe=""),
    ):
        assert parse_data_uri(text, len(data)) == data
        if data:
            with pytest.raises(ValueError, match=f"more than {len(data) - 1} bytes"):
                parse_data_uri(text, len(data) - 1)


def test_a_body_too_long_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ValueError, match="more than 3 bytes"):
        parse_data_uri("data:;base64," + "*" * 1000, 3)
