"""What strangers send that once was, or might be, more than a refusal."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    "id", ["%ff%fe", "%0d%0aset-cookie:%20a=b", "%00", "%F0%9F%8E%A8", "%C3%A9"]
)
async def test_an_id_of_any_characters_is_merely_unknown(front: Any, id: str) -> None:
    for address in (
        f"/queue/fal-ai/flux-pro/kontext/requests/{id}",
        f"/queue/fal-ai/flux-pro/kontext/requests/{id}/status",
        f"/replicate/v1/predictions/{id}",
        f"/api/v3/predictions/{id}/result",
        f"/v1/get_result?id={id}",
        f"/v1/images/{id}",
    ):
        answer = await front.client.get(address)

        assert answer.status_code in (400, 404, 422), address
        assert "set-cookie" not in answer.headers
        assert all(value.isascii() and value.isprintable() for value in answer.headers.values())
