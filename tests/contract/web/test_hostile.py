"""What strangers send that once was, or might be, more than a refusal."""

import base64
from typing import Any

import pytest
from structlog.testing import capture_logs

from retouch.domain.failure import Failure, FailureKind
from retouch.protocols import pictures


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
        f"/{id}",
    ):
        answer = await front.client.get(address)

        assert answer.status_code in (400, 404, 422), address
        assert "set-cookie" not in answer.headers
        assert all(value.isascii() and value.isprintable() for value in answer.headers.values())


async def test_a_failure_that_was_deleted_is_no_failure_of_ours(front: Any) -> None:
    given = {"prompt": "make it blue", "image": "https://pictures.example/cat.png"}
    created = await front.client.post("/api/v3/wavespeed-ai/flux-kontext-pro", json=given)
    id = created.json()["data"]["id"]
    await front.finish_one(
        failure=Failure(
            FailureKind.UNFETCHED, "The image URL could not be fetched: the server answered 404."
        )
    )

    await front.client.delete(f"/api/v3/predictions/{id}")
    answer = await front.client.get(f"/queue/fal-ai/flux-pro/kontext/requests/{id}")

    assert answer.status_code == 404
    assert answer.json()["detail"] == "The result is no longer kept"


async def test_a_caller_who_hangs_up_in_the_middle_is_no_error_of_ours(front: Any) -> None:
    messages = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )
    sent = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/images/generations",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
    }
    with capture_logs() as logs:
        await front.app(scope, receive, send)

    assert sent[0]["status"] < 500
    assert [line for line in logs if line["log_level"] == "error"] == []


PICTURES = {
    "/v1/flux-kontext-pro": "input_image",
    "/queue/fal-ai/flux-pro/kontext": "image_url",
    "/v1/images/edits": "image",
    "/replicate/v1/models/black-forest-labs/flux-kontext-pro/predictions": "input_image",
    "/api/v3/wavespeed-ai/flux-kontext-pro": "image",
}
"""Where each protocol takes a picture."""


@pytest.mark.parametrize(("address", "field"), PICTURES.items())
@pytest.mark.parametrize("head", ["data:image/png;base64,", ""])
async def test_base64_is_measured_before_it_is_decoded(
    front: Any, monkeypatch: pytest.MonkeyPatch, address: str, field: str, head: str
) -> None:
    monkeypatch.setattr(pictures, "DATA_LIMIT_BYTES", 1000)
    monkeypatch.setattr(base64, "b64decode", lambda *_, **__: pytest.fail("it was decoded"))
    picture = head + "iVBORw0K" * 200
    given = {"prompt": "make it blue", field: picture}

    answer = await front.client.post(
        address, json={"input": given} if "replicate" in address else given
    )

    assert answer.status_code in (400, 422)
    assert field in answer.text
    assert picture not in answer.text
