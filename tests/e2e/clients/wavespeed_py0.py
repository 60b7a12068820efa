"""Drives PyPI wavespeed 0.0.5 against a server: `wavespeed_py0.py BASE TOKEN PICTURE SLOW`.

SLOW is the URL of a picture that takes a while. Prints one JSON line per operation: its name and,
when it failed, why.
"""

import asyncio
import base64
import json
import sys
import traceback
import urllib.request
from pathlib import Path

from wavespeed import WaveSpeed

BASE, TOKEN, PICTURE, SLOW = sys.argv[1:5]
PRO = "wavespeed-ai/flux-kontext-pro"
client = WaveSpeed(api_key=TOKEN, base_url=f"{BASE}/api/v2/")
URI = "data:image/png;base64," + base64.b64encode(Path(PICTURE).read_bytes()).decode()


def is_png(done):
    assert done.status == "completed", done
    (url,) = done.outputs
    assert url.startswith(BASE), url
    with urllib.request.urlopen(url) as answer:  # noqa: S310  the server under test
        assert answer.read().startswith(b"\x89PNG"), url


def run():
    is_png(client.run(PRO, {"prompt": "make it black and white", "image": URI}))


def run_async():
    is_png(asyncio.run(client.async_run(PRO, {"prompt": "invert", "image": URI})))


def create_and_wait():
    made = client.create(PRO, {"prompt": "invert", "image": SLOW})
    assert made.status in ("created", "processing"), made
    assert made.urls.get.startswith(f"{BASE}/api/v2/predictions/"), made
    is_png(made.wait())


def failed():
    broken = "data:image/png;base64," + base64.b64encode(b"no picture").decode()
    done = client.run(PRO, {"prompt": "invert", "image": broken})
    assert done.status == "failed", done
    assert done.error


def raised(perform):
    try:
        perform()
    except Exception as error:
        return str(error)
    raise AssertionError("nothing was raised")


def refusals():
    said = raised(lambda: client.run(PRO, {"prompt": "invert"}))
    assert "400" in said, said


def base_urls():
    for base in (f"{BASE}/api/v3/", f"{BASE}/wavespeed/api/v3/"):
        other = WaveSpeed(api_key=TOKEN, base_url=base)
        is_png(other.run(PRO, {"prompt": "invert", "image": URI}))


for operation in (run, run_async, create_and_wait, failed, refusals, base_urls):
    try:
        operation()
        print(json.dumps({"operation": operation.__name__, "error": None}), flush=True)
    except Exception:
        said = traceback.format_exc(limit=-2)
        print(json.dumps({"operation": operation.__name__, "error": said}), flush=True)
