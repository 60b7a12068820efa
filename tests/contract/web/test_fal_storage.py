"""Files sent ahead in every way the official clients have, and the links they become."""

from datetime import UTC, datetime
from typing import Any

import pytest

EDIT = "/queue/fal-ai/flux-pro/kontext"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
TYPE = {"storage_type": "fal-cdn-v3"}
ABOUT = {"content_type": "image/png", "file_name": "cat.png"}


async def becomes_a_picture(front: Any, link: str, **headers: str) -> None:
    """The link shows the bytes to anybody, and is an input nobody has to fetch."""
    shown = await front.client.get(link)
    body = {"prompt": "x", "image_url": link}
    answer = await front.client.post(EDIT, json=body, headers=headers)

    assert (shown.status_code, shown.content) == (200, PNG)
    assert shown.headers["content-type"] == "image/png"
    assert answer.status_code == 200, answer.text
    (image,) = (await front.start_one()).edit.images
    assert image.key.startswith("inputs/")
    assert await front.blobs.open(image.key) == PNG


@pytest.mark.parametrize(
    ("base", "prefix"),
    [
        ("http://127.0.0.1:8787", "/rest"),
        ("https://rest.fal.ai", ""),
        ("https://rest.alpha.fal.ai", ""),
    ],
)
async def test_a_place_is_reserved_and_filled_without_a_key(
    front: Any, base: str, prefix: str
) -> None:
    mine = await front.key()
    async with front.caller(base_url=base) as client:
        path = f"{prefix}/storage/upload/initiate"
        place = (await client.post(path, params=TYPE, json=ABOUT, headers=mine)).json()
        early = await client.get(place["file_url"])
        headers = {"content-type": "image/png"}
        filled = await client.put(place["upload_url"], content=PNG, headers=headers)
        again = await client.put(place["upload_url"], content=b"other", headers=headers)

    assert list(place) == ["upload_url", "file_url"]
    assert place["upload_url"].startswith(f"{base}{prefix}/storage/upload/")
    assert [early.status_code, filled.status_code, again.status_code] == [404, 200, 200]
    await becomes_a_picture(front, place["file_url"], **mine)


async def test_a_large_file_is_sent_in_parts_by_its_place(front: Any) -> None:
    path = "/rest/storage/upload/initiate-multipart"
    place = (await front.client.post(path, params=TYPE, json=ABOUT)).json()
    tags = []
    for n, part in ((2, PNG[1000:]), (1, b"sent again below"), (1, PNG[:1000])):
        tags.append(await front.client.put(f"{place['upload_url']}/{n}", content=part))
    body = {"parts": [{"partNumber": n, "etag": "x"} for n in (2, 1)]}
    done = await front.client.post(f"{place['upload_url']}/complete", json=body)

    assert [it.json()["partNumber"] for it in tags] == [2, 1, 1]
    assert all(it.headers["etag"] == it.json()["etag"] for it in tags)
    assert done.status_code == 200
    assert len(await front.blobs.list("uploads/")) == 1
    await becomes_a_picture(front, place["file_url"])


async def test_the_other_client_asks_for_a_token_and_sends_to_the_cdn(front: Any) -> None:
    mine = await front.key()
    token = await front.client.post("/rest/storage/auth/token", params=TYPE, json={}, headers=mine)
    said = token.json()
    headers = {
        "authorization": f"{said['token_type']} {said['token']}",
        "x-fal-file-name": "cat.png",
        "content-type": "image/png",
    }
    async with front.caller(base_url="https://v3.fal.media") as client:
        kept = await client.post("/files/upload", content=PNG, headers=headers)
        refused = await client.post("/files/upload", content=PNG)

    assert said["base_url"] == "http://127.0.0.1:8787/cdn"
    assert datetime.fromisoformat(said["expires_at"]) > datetime.now(UTC)
    assert refused.status_code == 401
    link = kept.json()["access_url"]
    assert link.startswith("https://v3.fal.media/files/signed/")
    await becomes_a_picture(front, link, **mine)


async def test_the_other_client_sends_parts_to_the_link_itself(front: Any) -> None:
    token = (await front.client.post("/rest/storage/auth/token", json={})).json()
    headers = {"x-fal-file-name": "cat.png", "content-type": "image/png"}
    url = f"{token['base_url']}/files/upload/multipart"
    place = (await front.client.post(url, headers=headers)).json()
    to = f"{place['access_url']}/multipart/{place['uploadId']}"
    for n, part in ((1, PNG[:1000]), (2, PNG[1000:])):
        assert (await front.client.put(f"{to}/{n}", content=part)).headers["etag"]
    body = {"parts": [{"partNumber": n, "etag": "x"} for n in (2, 1)]}
    done = await front.client.post(f"{to}/complete", json=body)

    assert "?" not in place["access_url"]
    assert done.status_code == 200
    await becomes_a_picture(front, place["access_url"])


async def test_a_file_of_the_queue_is_a_file_of_every_protocol(front: Any) -> None:
    place = (await front.client.post("/rest/storage/upload/initiate", json=ABOUT)).json()
    before = (await front.client.get("/v1/files")).json()["results"]
    await front.client.put(place["upload_url"], content=PNG)
    (listed,) = (await front.client.get("/v1/files")).json()["results"]

    assert before == []
    assert (listed["name"], listed["content_type"]) == ("cat.png", "image/png")


async def test_a_place_nobody_fills_is_swept_away(front: Any) -> None:
    place = (await front.client.post("/rest/storage/upload/initiate", json=ABOUT)).json()
    await front.client.put(f"{place['upload_url']}/1", content=PNG)
    front.clock.advance(3601)
    late = await front.client.put(place["upload_url"], content=PNG)
    body = {"prompt": "x", "image_url": place["file_url"]}
    as_input = await front.client.post(EDIT, json=body)

    assert late.status_code == 404
    assert as_input.json()["detail"][0]["type"] == "file_download_error"
    assert await front.janitor.sweep() == 2
    assert await front.blobs.list("uploads/") == []


async def test_what_is_sent_must_make_sense(front: Any) -> None:
    place = (await front.client.post("/rest/storage/upload/initiate", json=ABOUT)).json()
    put, post = front.client.put, front.client.post
    url = place["upload_url"]

    answers = [
        await post("/rest/storage/upload/initiate", json=[]),
        await post("/rest/storage/upload/initiate", json={"file_name": 5}),
        await put(url[:-1] + ("a" if url[-1] != "a" else "b"), content=PNG),
        await put(f"{url}/0", content=PNG),
        await put(f"{url}/x", content=PNG),
        await post(f"{url}/complete", json={}),
        await post(f"{url}/complete", json={"parts": [{"partNumber": "1"}]}),
        await post(f"{url}/complete", json={"parts": [{"partNumber": 7}]}),
    ]

    assert [it.status_code for it in answers] == [422, 422, 404, 404, 404, 422, 422, 404]
    assert all(it.headers["x-fal-request-id"] for it in answers)


async def test_a_link_of_an_upload_cannot_be_bent(front: Any) -> None:
    kept = await front.client.post("/cdn/files/upload", content=PNG)
    link = kept.json()["access_url"]

    head, _, id = link.rpartition("/")
    other = await front.client.get(f"{head}/{id[::-1]}")
    front.clock.advance(90_001)
    late = await front.client.get(link)

    assert [other.status_code, late.status_code] == [403, 403]


async def test_a_part_may_be_numbered_in_any_spelling_of_a_whole_number(front: Any) -> None:
    place = (await front.client.post("/rest/storage/upload/initiate-multipart", json=ABOUT)).json()
    await front.client.put(f"{place['upload_url']}/1", content=PNG)
    refused = [
        await front.client.post(
            f"{place['upload_url']}/complete", json={"parts": [{"partNumber": number}]}
        )
        for number in (True, 1.5)
    ]
    joined = await front.client.post(
        f"{place['upload_url']}/complete", json={"parts": [{"partNumber": 1.0}]}
    )

    assert [it.status_code for it in [*refused, joined]] == [422, 422, 200]


@pytest.mark.parametrize("value", [{}, 0, False, [], "a\0b"])
async def test_what_a_file_is_called_is_text(front: Any, value: Any) -> None:
    answer = await front.client.post("/rest/storage/upload/initiate", json={"file_name": value})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "file_name"]
