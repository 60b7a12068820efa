"""Ids as letters and as UUIDs."""

import secrets
from uuid import UUID

import pytest

from retouch.domain.ids import as_uuid, from_uuid
from retouch.service.identity import draw_id


def test_an_id_is_a_random_uuid_in_other_letters() -> None:
    for _ in range(100):
        id = draw_id(secrets.token_bytes)

        assert UUID(as_uuid(id)).version == 4
        assert from_uuid(as_uuid(id)) == id
        assert from_uuid(as_uuid(id).upper()) == id


@pytest.mark.parametrize("id", ["z" * 26, "8" + "0" * 25, "nothing", "", "0" * 25 + "u", "0" * 25])
def test_an_id_that_is_no_uuid_stays_as_it_is(id: str) -> None:
    assert as_uuid(id) == id


@pytest.mark.parametrize(
    "text", ["nothing", "", "{00000000-0000-4000-8000-000000000000}", "0" * 32]
)
def test_a_text_that_is_no_uuid_stays_as_it_is(text: str) -> None:
    assert from_uuid(text) == text
