"""Drives PyPI fal-client 1.0.3 against a server: `fal_py.py BASE TOKEN PICTURE SLOW`.

SLOW is the URL of a picture that takes a while. Prints one JSON line per operation: its name and,
when it failed, why.
"""

import asyncio
import base64
import hashlib
import io
import json
import os
import sys
import traceback
import urllib.request
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from PIL import Image
from receiver import received

BASE, TOKEN, PICTURE, SLOW = sys.argv[1:5]
os.environ["FAL_KEY"] = TOKEN
HOST = BASE.partition("://")[2]
if BASE.startswith("https:"):  # the two variables are enough, but for uploads
    os.environ["FAL_RUN_HOST"] = f"{HOST}/run"
    os.environ["FAL_QUEUE_RUN_HOST"] = f"{HOST}/queue"

import fal_client  # noqa: E402  reads the variables when it is imported
from fal_client import client as module  # noqa: E402

if BASE.startswith("http:"):
    module.RUN_URL_FORMAT, module.QUEUE_URL_FORMAT = f"{BASE}/run/", f"{BASE}/queue/"
module.REST_URL, module.CDN_URL = f"{BASE}/rest", f"{BASE}/cdn"

PRO = "fal-ai/flux-pro/kontext"
MULTI = "fal-ai/flux-pro/kontext/max/multi"
DEV = "fal-ai/flux-kontext/dev"
DATA = Path(PICTURE).read_bytes()
URI = "data:image/png;base64," + base64.b64encode(DATA).decode()
FIELDS = {"prompt": "make it black and white", "image_url": URI}


def is_jpeg(result, count=1):
    assert len(result["images"]) == count, result
    for image in result["images"]:
        assert image["url"].startswith(BASE), image
        with urllib.request.urlopen(image["url"]) as answer:  # noqa: S310  the server under test
            assert answer.read().startswith(b"\xff\xd8\xff"), image


def raised(kind, perform):
    try:
        perform()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def run():
    is_jpeg(fal_client.run(PRO, arguments=FIELDS))


def run_async():
    is_jpeg(asyncio.run(fal_client.AsyncClient().run(PRO, arguments=FIELDS)))


def submit_poll_fetch():
    handle = fal_client.submit(PRO, arguments={**FIELDS, "seed": 7, "num_images": 2})
    again = fal_client.SyncClient().get_handle(PRO, handle.request_id)
    for name in ("request_id", "response_url", "status_url", "cancel_url"):
        assert getattr(again, name) == getattr(handle, name), name
    states = list(handle.iter_events(with_logs=True))
    assert isinstance(states[-1], fal_client.Completed), states
    assert any("seed: 7" in line["message"] for line in states[-1].logs), states[-1]
    result = handle.get()
    assert result["seed"] == 7, result
    is_jpeg(result, count=2)


def subscribe():
    seen = []
    result = fal_client.subscribe(
        MULTI,
        arguments={"prompt": "side by side", "image_urls": [URI, URI]},
        with_logs=True,
        on_queue_update=seen.append,
        priority="low",
        start_timeout=30,
    )
    assert isinstance(seen[-1], fal_client.Completed), seen
    is_jpeg(result)


def subscribe_async():
    is_jpeg(asyncio.run(fal_client.AsyncClient().subscribe(PRO, arguments=FIELDS)))


def upload():
    url = fal_client.upload(DATA, "image/png", "cat.png")
    assert url.startswith(f"{BASE}/files/signed/"), url
    is_jpeg(fal_client.run(PRO, arguments={"prompt": "invert", "image_url": url}))


def upload_file():
    urls = [
        fal_client.upload_file(PICTURE),
        fal_client.upload_file(PICTURE, repository="fal"),
        asyncio.run(fal_client.AsyncClient().upload_file(PICTURE)),
    ]
    fields = {"prompt": "side by side", "image_urls": urls}
    is_jpeg(fal_client.run(MULTI, arguments=fields))


def upload_in_parts():
    before = module.MULTIPART_THRESHOLD, module.MULTIPART_CHUNK_SIZE
    module.MULTIPART_THRESHOLD = module.MULTIPART_CHUNK_SIZE = len(DATA) // 3
    try:
        urls = [
            fal_client.upload_file(PICTURE),
            fal_client.upload(DATA, "image/png"),
            asyncio.run(fal_client.AsyncClient().upload_file(PICTURE)),
        ]
    finally:
        module.MULTIPART_THRESHOLD, module.MULTIPART_CHUNK_SIZE = before
    for url in urls:
        with urllib.request.urlopen(url) as answer:  # noqa: S310  the server under test
            assert answer.read() == DATA, url
    is_jpeg(fal_client.run(PRO, arguments={"prompt": "invert", "image_url": urls[0]}))


def data_uri():
    url = fal_client.encode_file(PICTURE)
    is_jpeg(fal_client.run(DEV, arguments={"prompt": "invert", "image_url": url}))


def inpaint():
    """White changes; all else is the picture's own, scaled."""
    with Image.open(PICTURE) as picture:
        original = picture.convert("RGB")
    mask = Image.new("L", original.size)
    mask.paste(255, (0, original.height // 2, *original.size))
    url = fal_client.encode_file(PICTURE)
    fields = {"image_url": url, "reference_image_url": url, "prompt": "invert"}
    result = fal_client.run(
        "fal-ai/flux-kontext-lora/inpaint",
        arguments={**fields, "mask_url": fal_client.encode_image(mask, "png")},
    )
    with urllib.request.urlopen(result["images"][0]["url"]) as answer:  # noqa: S310  ours
        made = Image.open(io.BytesIO(answer.read())).convert("RGB")
    scaled = original.resize(made.size, Image.Resampling.LANCZOS)
    top, bottom = ((0, y, made.width, y + made.height // 2) for y in (0, made.height // 2))
    assert made.crop(top).tobytes() == scaled.crop(top).tobytes()
    assert made.crop(bottom).tobytes() != scaled.crop(bottom).tobytes()


def sync_mode():
    result = fal_client.run(PRO, arguments={**FIELDS, "sync_mode": True})
    head, _, data = result["images"][0]["url"].partition(",")
    assert head == "data:image/jpeg;base64", head
    assert base64.b64decode(data).startswith(b"\xff\xd8\xff")


def stream():
    (result,) = fal_client.stream(DEV, arguments=FIELDS)
    is_jpeg(result)


def cancel():
    handle = fal_client.submit(DEV, arguments={"prompt": "invert", "image_url": SLOW})
    handle.cancel()
    status = handle.status()
    assert isinstance(status, fal_client.Completed), status
    assert status.error_type == "client_cancelled", status
    error = raised(fal_client.FalClientHTTPError, handle.get)
    assert (error.status_code, error.error_type) == (499, "client_cancelled"), error
    error = raised(fal_client.FalClientHTTPError, handle.cancel)
    assert error.status_code == 400, error


def webhook():
    handle, headers, body = received(
        lambda url: fal_client.submit(PRO, arguments=FIELDS, webhook_url=url)
    )
    names = ("Request-Id", "User-Id", "Timestamp", "Signature")
    *lines, signature = (headers[f"X-Fal-Webhook-{name}"] for name in names)
    message = "\n".join((*lines, hashlib.sha256(body).hexdigest())).encode()
    with urllib.request.urlopen(f"{BASE}/rest/.well-known/jwks.json") as answer:  # noqa: S310  ours
        (key,) = json.load(answer)["keys"]
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
    public.verify(bytes.fromhex(signature), message)
    said = json.loads(body)
    assert (said["request_id"], said["status"]) == (handle.request_id, "OK"), said
    assert said["payload"]["seed"] == handle.get()["seed"], said
    is_jpeg(said["payload"])


def failed():
    broken = "data:image/png;base64," + base64.b64encode(b"no picture").decode()
    fields = {"prompt": "invert", "image_url": broken}
    error = raised(
        fal_client.FalClientHTTPError, lambda: fal_client.subscribe(PRO, arguments=fields)
    )
    assert error.status_code == 422, error
    assert error.message[0]["type"] == "image_load_error", error.message


def refusals():
    fields = {**FIELDS, "num_images": 9}
    error = raised(fal_client.FalClientHTTPError, lambda: fal_client.submit(PRO, arguments=fields))
    assert error.status_code == 422, error
    assert error.message[0]["loc"] == ["body", "num_images"], error.message
    unknown = "00000000-0000-4000-8000-000000000000"
    error = raised(fal_client.FalClientHTTPError, lambda: fal_client.status(PRO, unknown))
    assert error.status_code == 404, error


OPERATIONS = (
    run, run_async, submit_poll_fetch, subscribe, subscribe_async, upload, upload_file,
    upload_in_parts, data_uri, inpaint, sync_mode, stream, cancel, webhook, failed,
    refusals,
)  # fmt: skip

for operation in OPERATIONS:
    try:
        operation()
        print(json.dumps({"operation": operation.__name__, "error": None}), flush=True)
    except Exception:
        said = traceback.format_exc(limit=-2)
        print(json.dumps({"operation": operation.__name__, "error": said}), flush=True)
