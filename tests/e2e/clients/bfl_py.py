"""Drives PyPI blackforest 0.1.3 against a server: `bfl_py.py BASE TOKEN PICTURE SLOW`.

SLOW is the URL of a picture that takes a while. Prints one JSON line per operation: its name and,
when it failed, why.
"""

import json
import os
import sys
import traceback
import urllib.request

from blackforest import BFLClient
from blackforest.client import BFLError
from blackforest.types.general.client_config import ClientConfig

BASE, TOKEN, PICTURE, SLOW = sys.argv[1:5]
if "SSL_CERT_FILE" in os.environ:  # requests has a variable of its own
    os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"]
PRO = "flux-kontext-pro"
client = BFLClient(api_key=TOKEN, base_url=BASE)


def is_png(result):
    url = result["sample"]
    assert url.startswith(BASE), url
    with urllib.request.urlopen(url) as answer:  # noqa: S310  the server under test
        assert answer.read().startswith(b"\x89PNG"), url


def patient():
    return ClientConfig(sync=True, polling_interval=0.2, max_retries=100)


def run():
    fields = {"prompt": "make it black and white", "input_image": PICTURE, "seed": 7}
    answer = client.generate(PRO, fields, patient())
    assert answer.result["seed"] == 7, answer
    assert answer.result["duration"] >= 0, answer
    is_png(answer.result)


def submit_and_poll():
    made = client.generate(PRO, {"prompt": "invert", "input_image": SLOW})
    assert made.polling_url.startswith(f"{BASE}/v1/get_result?id={made.id}"), made
    assert client.get_task_status(made.id).status == "Pending"
    is_png(client.get_polling_result(made.id, patient()))


def text_to_image():
    is_png(client.generate(PRO, {"prompt": "a red kite"}, patient()).result)


def four_pictures():
    more = {f"input_image_{n}": PICTURE for n in (2, 3, 4)}
    fields = {"prompt": "side by side", "input_image": PICTURE, **more, "aspect_ratio": "16:9"}
    is_png(client.generate(PRO, fields, patient()).result)


def raised(kind, perform):
    try:
        perform()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def refusals():
    fields = {"prompt": "x", "input_image": "http://[::1"}
    error = raised(BFLError, lambda: client.generate(PRO, fields))
    assert "input_image" in str(error), error


OPERATIONS = (run, submit_and_poll, text_to_image, four_pictures, refusals)

for operation in OPERATIONS:
    try:
        operation()
        print(json.dumps({"operation": operation.__name__, "error": None}), flush=True)
    except Exception:
        said = traceback.format_exc(limit=-2)
        print(json.dumps({"operation": operation.__name__, "error": said}), flush=True)
