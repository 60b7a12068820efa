"""Drives PyPI wavespeed 2.0.5 against a server: `wavespeed_py2.py BASE TOKEN PICTURE SLOW`.

SLOW is the URL of a picture that takes a while. Prints one JSON line per operation: its name and,
when it failed, why.
"""

import base64
import hashlib
import hmac
import io
import json
import os
import sys
import traceback
import urllib.request
from pathlib import Path
from urllib.parse import quote

from receiver import received

BASE, TOKEN, PICTURE, SLOW = sys.argv[1:5]
if "SSL_CERT_FILE" in os.environ:  # requests has a variable of its own
    os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"]

import wavespeed  # noqa: E402  reads its environment when it is imported

PRO = "wavespeed-ai/flux-kontext-pro"
DEV = "wavespeed-ai/flux-kontext-dev"
client = wavespeed.Client(api_key=TOKEN, base_url=BASE)
DATA = Path(PICTURE).read_bytes()
URI = "data:image/png;base64," + base64.b64encode(DATA).decode()


def fetched(url):
    with urllib.request.urlopen(url) as answer:  # noqa: S310  the server under test
        return answer.read()


def is_png(said, count=1):
    assert len(said["outputs"]) == count, said
    for url in said["outputs"]:
        assert url.startswith(BASE), url
        assert fetched(url).startswith(b"\x89PNG"), url


def raised(perform):
    try:
        perform()
    except Exception as error:
        return str(error)
    raise AssertionError("nothing was raised")


def run():
    is_png(client.run(PRO, {"prompt": "make it black and white", "image": URI}))


def module_run():
    wavespeed.config.api.base_url = f"{BASE}/wavespeed"
    wavespeed.config.api.api_key = TOKEN
    is_png(wavespeed.run(f"{PRO}/multi", {"prompt": "invert", "images": [URI, URI], "seed": -1}))


def sync_mode():
    is_png(client.run(PRO, {"prompt": "invert", "image": URI}, enable_sync_mode=True))


def slow_picture():
    is_png(client.run(PRO, {"prompt": "invert", "image": SLOW}, poll_interval=0.2))


def several_pictures():
    fields = {"prompt": "invert", "image": URI, "num_images": 2, "output_format": "png"}
    is_png(client.run(DEV, fields), count=2)


def base64_output():
    fields = {"prompt": "invert", "image": URI, "output_format": "png"}
    (text,) = client.run(DEV, {**fields, "enable_base64_output": True})["outputs"]
    assert base64.b64decode(text).startswith(b"\x89PNG")


def upload():
    url = client.upload(PICTURE)
    assert url.startswith(BASE), url
    assert fetched(url) == DATA
    is_png(client.run(PRO, {"prompt": "invert", "image": url}))


def upload_stream():
    url = client.upload(io.BytesIO(DATA))
    assert fetched(url) == DATA


def webhook():
    fields = {"prompt": "invert", "image": URI}
    said, headers, body = received(
        lambda url: client.run(f"{PRO}?webhook={quote(url, '')}", fields)
    )
    asked = urllib.request.Request(  # noqa: S310  the server under test
        f"{BASE}/api/v3/webhook/secret", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    secret = json.loads(fetched(asked))["data"]["secret"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = hmac.new(secret.removeprefix("whsec_").encode(), signed, hashlib.sha256).hexdigest()
    assert headers["webhook-signature"] == f"v3,{mac}", headers
    told = json.loads(body)
    assert (told["status"], told["input"]) == ("completed", fields), told
    is_png(told)
    is_png(said)


def failed():
    broken = "data:image/png;base64," + base64.b64encode(b"no picture").decode()
    fields = {"prompt": "invert", "image": broken}
    assert "Prediction failed" in raised(lambda: client.run(PRO, fields))
    said = client.run_no_throw(PRO, fields)
    assert said["outputs"] is None, said
    assert said["status"] == "failed", said
    assert said["task_id"] in said["error"], said


def refusals():
    said = raised(lambda: client.run(f"{PRO}/multi", {"guidance_scale": 3.5}))
    assert "parameter prompt is missing; parameter images is missing" in said, said
    said = raised(lambda: client.run("wavespeed-ai/nothing", {"prompt": "x"}))
    assert "model not found" in said, said
    said = raised(lambda: client.get_result("nothing"))
    assert "404" in said, said


def base_urls():
    for base in (f"{BASE}/", f"{BASE}/wavespeed"):
        other = wavespeed.Client(api_key=TOKEN, base_url=base)
        is_png(other.run(PRO, {"prompt": "invert", "image": URI}))


OPERATIONS = (
    run, module_run, sync_mode, slow_picture, several_pictures, base64_output, upload,
    upload_stream, webhook, failed, refusals, base_urls,
)  # fmt: skip

for operation in OPERATIONS:
    try:
        operation()
        print(json.dumps({"operation": operation.__name__, "error": None}), flush=True)
    except Exception:
        said = traceback.format_exc(limit=-2)
        print(json.dumps({"operation": operation.__name__, "error": said}), flush=True)
