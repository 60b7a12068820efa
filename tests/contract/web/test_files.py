"""Uploads with every client's quirks, their use as inputs, and signed links."""

from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from retouch.domain.errors import Busy
from retouch.web.files import CONTENT_TYPES

CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
PNG = b"\x89PNG\r\n\x1a\n" + b"0123456789"


async def uploaded(front: Any, **parts: Any) -> dict[str, Any]:
    files = {"content": ("cat.png", PNG, "image/png"), **parts}
    answer = await front.client.post("/v1/files", files=files)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_an_upload_shows_every_key_the_oldest_client_needs(front: Any) -> None:
    file = await uploaded(front)

    assert list(file) == [
        "id", "name", "content_type", "size", "etag", "checksums", "metadata",
        "created_at", "expires_at", "urls",
    ]  # fmt: skip
    assert (file["name"], file["content_type"], file["size"]) == ("cat.png", "image/png", len(PNG))
    read = (await front.client.get(file["urls"]["get"])).json()
    assert {name: read[name] for name in file} == file


async def test_the_bytes_decide_the_type(front: Any) -> None:
    file = await uploaded(front, content=("blob_17", PNG, "application/octet-stream"))

    assert (file["name"], file["content_type"]) == ("blob_17", "image/png")


async def test_bytes_of_no_known_kind_keep_their_claimed_type(front: Any) -> None:
    file = await uploaded(front, content=("../../note.txt", b"hello", "text/plain; charset=utf-8"))
    answer = await front.client.get(f"/v1/files/{file['id']}/download")

    assert (file["name"], file["content_type"]) == ("note.txt", "text/plain")
    assert answer.content == b"hello"
    assert answer.headers["content-disposition"] == "attachment"


async def test_metadata_as_a_json_field(front: Any) -> None:
    body = {"metadata": '{"by": {"whom": "me"}}'}
    files = {"content": ("a.png", PNG, "image/png")}

    answer = await front.client.post("/v1/files", files=files, data=body)

    assert answer.json()["metadata"] == {"by": {"whom": "me"}}


async def test_metadata_as_a_file_part(front: Any) -> None:
    file = await uploaded(front, metadata=("blob", b'{"by": "me"}', "application/json"))

    assert file["metadata"] == {"by": "me"}


async def test_metadata_flattened_beside_name_and_type(front: Any) -> None:
    data = {
        "filename": "dog.bin",
        "type": "text/plain",
        "metadata[by][whom]": "me",
        "metadata[n]": "1",
    }
    files = {"content": ("upload", b"text", "application/octet-stream")}

    file = (await front.client.post("/v1/files", files=files, data=data)).json()

    assert file["metadata"] == {"by": {"whom": "me"}, "n": "1"}
    assert (file["name"], file["content_type"]) == ("dog.bin", "text/plain")


async def test_an_upload_without_content_is_refused(front: Any) -> None:
    answer = await front.client.post("/v1/files", files={"other": ("a", b"b")})

    assert answer.status_code == 422
    assert answer.json()["detail"] == "- content is required\n"


async def test_metadata_no_database_can_keep_is_refused(front: Any) -> None:
    for text in ('{"a": "\\u0000"}', '{"a": "\\ud800"}', "[]", "{"):
        answer = await front.client.post(
            "/v1/files", files={"content": ("a.png", PNG)}, data={"metadata": text}
        )
        assert answer.status_code == 422, text


async def test_files_are_listed_fetched_and_deleted(front: Any) -> None:
    file = await uploaded(front)
    url = file["urls"]["get"]

    listed = (await front.client.get("/v1/files")).json()
    bytes_again = await front.client.get(f"{url}/download?owner=a&expiry=1&signature=x")
    deleted = await front.client.delete(url)
    gone = await front.client.get(url)

    assert {k: listed[k] for k in ("next", "previous")} == {"next": None, "previous": None}
    assert listed["results"] == [file]
    assert bytes_again.content == PNG
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (gone.status_code, gone.json()) == (404, {"detail": "File not found"})
    assert await front.blobs.list("uploads/") == []


async def test_a_file_url_as_input_is_resolved_to_its_bytes(front: Any) -> None:
    file = await uploaded(front)
    for url in (file["urls"]["get"], f"https://elsewhere/replicate/files/{file['id']}"):
        body = {"input": {"prompt": "x", "input_image": url}}
        created = (await front.client.post(CREATE, json=body)).json()

        prediction = await front.store.get(created["id"])
        assert created["input"]["input_image"] == url
        assert await front.blobs.open(prediction.edit.images[0].key) == PNG


async def test_a_file_that_has_expired_is_gone_and_swept(front: Any) -> None:
    file = await uploaded(front)
    front.clock.advance(86_401)
    body = {"input": {"prompt": "x", "input_image": file["urls"]["get"]}}

    as_input = await front.client.post(CREATE, json=body)
    shown = await front.client.get(file["urls"]["get"])
    swept = await front.janitor.sweep()

    assert as_input.json()["invalid_fields"][0]["field"] == "input.input_image"
    assert shown.status_code == 404
    assert swept == 1
    assert await front.blobs.list("uploads/") == []


async def result(front: Any) -> tuple[str, bytes]:
    created = (await front.client.post(CREATE, json={"input": {"prompt": "x"}})).json()
    done = await front.finish_one()
    link = (await front.client.get(created["urls"]["get"])).json()["output"]
    return link, await front.blobs.open(done.outputs[0].key)


async def test_a_result_link_needs_no_key_and_says_what_it_sends(front: Any) -> None:
    link, data = await result(front)
    await front.key()

    answer = await front.client.get(link)

    assert answer.content == data
    assert link.partition("?")[0].endswith("/1/0.png")
    assert answer.headers["content-type"] == CONTENT_TYPES["png"]
    assert answer.headers["content-length"] == str(len(data))
    assert answer.headers["content-disposition"] == "inline"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_parts_of_a_result_can_be_fetched(front: Any) -> None:
    link, data = await result(front)

    async def part(wanted: str) -> httpx2.Response:
        answer: httpx2.Response = await front.client.get(link, headers={"range": wanted})
        return answer

    middle, tail, past = await part("bytes=1-3"), await part("bytes=-4"), await part("bytes=999-")
    odd = await part("lines=1-2")

    assert (middle.status_code, middle.content) == (206, data[1:4])
    assert middle.headers["content-range"] == f"bytes 1-3/{len(data)}"
    assert tail.content == data[-4:]
    assert past.status_code == 416
    assert odd.content == data


async def test_a_result_known_already_is_not_sent_again(front: Any) -> None:
    link, _ = await result(front)
    tag = (await front.client.get(link)).headers["etag"]

    answer = await front.client.get(link, headers={"if-none-match": tag})

    assert (answer.status_code, answer.content) == (304, b"")


async def test_a_link_is_refused_when_changed_or_late(front: Any) -> None:
    link, _ = await result(front)

    other = await front.client.get(link.replace("/1/0.png", "/2/0.png"))
    longer = await front.client.get(link.replace("expires=1", "expires=2"))
    bare = await front.client.get(link.partition("?")[0])
    front.clock.advance(90_001)
    late = await front.client.get(link)

    assert [it.status_code for it in (other, longer, bare, late)] == [403, 403, 403, 403]
    assert "expired" in late.json()["detail"]


async def test_a_link_to_a_lost_file_says_so(front: Any) -> None:
    link, _ = await result(front)
    for key in await front.blobs.list(""):
        await front.blobs.delete(key)

    answer = await front.client.get(link)

    assert answer.status_code == 404
    assert answer.json() == {"detail": "This file is no longer kept.", "status": 404}


async def test_a_link_while_the_storage_is_away_may_be_tried_again(
    front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, _ = await result(front)

    async def away(_key: str) -> bytes:
        raise Busy("the file store cannot be used now") from OSError(28, "No space left")

    monkeypatch.setattr(front.blobs, "open", away)
    with capture_logs() as lines:
        answer = await front.client.get(link)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    words = "It cannot be sent now: the file store cannot be used now."
    assert answer.json() == {"detail": words, "status": 503}
    assert lines[-1]["cause"] == "OSError: [Errno 28] No space left"


async def test_the_line_of_a_request_that_met_an_outage_tells_its_cause(
    front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_key: str, _data: bytes) -> None:
        raise Busy("the file store cannot be used now") from OSError(28, "No space left")

    monkeypatch.setattr(front.blobs, "put", away)
    with capture_logs() as lines:
        answer = await front.client.post("/v1/files", files={"content": ("a.png", PNG)})

    assert answer.status_code == 503
    assert "space" not in answer.text
    assert lines[-1]["refusal"] == "busy"
    assert lines[-1]["reason"] == "the file store cannot be used now"
    assert lines[-1]["cause"] == "OSError: [Errno 28] No space left"


async def test_a_form_without_any_part_is_refused(front: Any) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    addresses = ["/v1/files", "/api/v3/media/upload/binary", "/cdn/files/upload"]

    answers = [
        await front.client.post(address, content=b"--x--\r\n", headers=headers)
        for address in addresses
    ]

    assert [it.status_code for it in answers] == [422, 400, 422]
