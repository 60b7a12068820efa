"""WaveSpeed's uploads, in either form, and what it tells of models, prices and the balance."""

import json
from typing import Any

import pytest

from retouch.protocols.wavespeed.fields import MODELS

PNG = b"\x89PNG\r\n\x1a\n" + b"0123456789"
SUBMIT = "/api/v3/wavespeed-ai/flux-kontext-pro"
TICKET = {"filename": "in.png", "size": len(PNG), "content_type": "image/png"}


async def data_of(asked: Any) -> Any:
    answer = await asked
    assert answer.status_code == 200, answer.text
    assert answer.json()["code"] == 200
    return answer.json()["data"]


async def reserved(front: Any, **more: Any) -> dict[str, Any]:
    body = TICKET | more.pop("body", {})
    data: dict[str, Any] = await data_of(
        front.client.post("/api/v3/media/uploads", json=body, **more)
    )
    return data


async def test_an_announced_upload_is_sent_without_a_key_and_edited(front: Any) -> None:
    mine = await front.key("me")
    place = await reserved(front, headers=mine)
    to = place["upload"]
    early = await front.client.get(place["download_url"])
    sent = await front.client.put(to["url"], content=PNG, headers=to["headers"])
    fetched = await front.client.get(place["download_url"])
    body = {"prompt": "x", "image": place["download_url"]}
    made = await data_of(front.client.post(SUBMIT, json=body, headers=mine))

    assert list(place) == ["type", "filename", "size", "download_url", "upload"]
    assert (place["type"], place["filename"], place["size"]) == ("image", "in.png", len(PNG))
    assert (to["method"], to["headers"]) == ("PUT", {"Content-Type": "image/png"})
    assert to["url"].startswith("http://127.0.0.1:8787/api/v3/media/uploads/")
    assert (early.status_code, sent.status_code) == (404, 200)
    assert (fetched.content, fetched.headers["content-type"]) == (PNG, "image/png")
    image = (await front.store.get(made["id"])).edit.images[0]
    assert await front.blobs.open(image.key) == PNG


async def test_what_was_accepted_outlives_the_upload(front: Any) -> None:
    place = await reserved(front)
    await front.client.put(place["upload"]["url"], content=PNG)
    body = {"prompt": "x", "image": place["download_url"]}
    made = await data_of(front.client.post(SUBMIT, json=body))
    front.clock.advance(86_401)
    await front.janitor.sweep()
    late = await front.client.post(SUBMIT, json=body)

    image = (await front.store.get(made["id"])).edit.images[0]
    assert await front.blobs.open(image.key) == PNG
    assert (late.status_code, late.json()["error_code"]) == (400, 1402)


async def test_an_address_is_for_one_upload_of_the_size_announced(front: Any) -> None:
    url = (await reserved(front))["upload"]["url"]

    longer = await front.client.put(url, content=PNG + b"0")
    sent = await front.client.put(url, content=PNG)
    again = await front.client.put(url, content=PNG[::-1])

    assert [it.status_code for it in (longer, sent, again)] == [400, 200, 200]
    (key,) = await front.blobs.list("uploads/")
    assert await front.blobs.open(key) == PNG


async def test_an_address_that_is_forged_or_late_opens_nothing(front: Any) -> None:
    url = (await reserved(front))["upload"]["url"]
    forged = url[:-1] + ("a" if url[-1] != "a" else "b")

    answers = [await front.client.put(it, content=PNG) for it in (forged, f"{url}x")]
    front.clock.advance(3601)
    answers.append(await front.client.put(url, content=PNG))

    assert [(it.status_code, it.json()["code"]) for it in answers] == [(404, 404)] * 3
    assert await front.blobs.list("uploads/") == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"size": None}, 1400),
        ({"size": 0}, 1401),
        ({"content_type": "a\r\nb"}, 1401),
        ({"filename": "a\0b"}, 1401),
    ],
)
async def test_an_upload_announced_wrongly_is_refused(front: Any, body: Any, code: int) -> None:
    answer = await front.client.post("/api/v3/media/uploads", json=TICKET | body)

    assert (answer.status_code, answer.json()["error_code"]) == (400, code)


async def test_an_upload_too_large_is_refused_when_announced(front: Any) -> None:
    body = {"filename": "film.mp4", "size": 200 * 1024 * 1024}
    answer = await front.client.post("/api/v3/media/uploads", json=body)

    assert (answer.status_code, answer.json()["code"]) == (413, 413)


async def test_a_type_that_could_not_be_guessed_is_any(front: Any) -> None:
    body = {"filename": "upload", "size": 3}
    place = await data_of(front.client.post("/api/v3/media/uploads", json=body))

    assert place["type"] == "file"
    assert place["upload"]["headers"] == {"Content-Type": "application/octet-stream"}


@pytest.mark.parametrize("version", ["v2", "v3"])
async def test_an_upload_in_one_part(front: Any, version: str) -> None:
    path = f"/api/{version}/media/upload/binary"
    files = {"file": ("cat.png", PNG, "image/png")}
    file = await data_of(front.client.post(path, files=files))
    empty = await front.client.post(path, files={"content": ("cat.png", PNG, "image/png")})
    made = await data_of(
        front.client.post(SUBMIT, json={"prompt": "x", "image": file["download_url"]})
    )

    assert list(file) == ["type", "download_url", "filename", "size"]
    assert (file["type"], file["filename"], file["size"]) == ("image", "cat.png", len(PNG))
    assert (await front.client.get(file["download_url"])).content == PNG
    assert (empty.status_code, empty.json()["error_code"]) == (400, 1400)
    image = (await front.store.get(made["id"])).edit.images[0]
    assert await front.blobs.open(image.key) == PNG


async def test_nothing_costs_anything(front: Any) -> None:
    name = {"model_id": "wavespeed-ai/flux-kontext-dev/multi", "inputs": {"num_images": 4}}

    assert await data_of(front.client.get("/api/v3/balance")) == {"balance": 0}
    assert await data_of(front.client.post("/api/v3/model/pricing", json=name)) == {
        "model_id": name["model_id"],
        "unit_price": 0,
        "currency": "USD",
    }
    price = await data_of(front.client.post("/api/v3/model/price", json=name))
    assert (price["price"], price["discounted_price"]) == (0, 0)
    for body, status in (({}, 400), ({"model_id": "a/b"}, 404), ([], 400)):
        answer = await front.client.post("/api/v3/model/pricing", json=body)
        assert answer.status_code == status


async def test_the_catalogue_says_what_each_model_takes_and_who_serves_it(front: Any) -> None:
    models = await data_of(front.client.get("/api/v3/models"))
    found = {it["model_id"]: it for it in models}
    (api,) = found["wavespeed-ai/flux-kontext-pro/multi"]["api_schema"]["api_schemas"]
    request = api["request_schema"]

    assert list(found) == [model.name for model in MODELS]
    assert all("nano" in it["description"] and it["base_price"] == 0 for it in models)
    assert json.loads(models[0]["formula"]) == {"total_price": 0}
    assert found["wavespeed-ai/flux-kontext-max/text-to-image"]["type"] == "text-to-image"
    assert api["type"] == "model_run"
    assert request["required"] == ["prompt", "images"]
    assert request["x-order-properties"] == list(request["properties"]) == [
        "prompt", "images", "seed", "guidance_scale", "aspect_ratio", "enable_sync_mode",
    ]  # fmt: skip
    assert request["properties"]["seed"]["maximum"] == 2**31 - 1
