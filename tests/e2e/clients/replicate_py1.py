"""Drives PyPI replicate 1.0.7 against a server: `replicate_py1.py BASE TOKEN PICTURE SLOW`.

SLOW is the URL of a picture that takes a while. Prints one JSON line per operation: its name and,
when it failed, why.
"""

import base64
import io
import json
import sys
import traceback
import urllib.request
from functools import partial
from pathlib import Path

import replicate
from receiver import received
from replicate.exceptions import ModelError, ReplicateError

BASE, TOKEN, PICTURE, SLOW = sys.argv[1:5]
PRO = "black-forest-labs/flux-kontext-pro"
DEV = "black-forest-labs/flux-kontext-dev"
LIST = "flux-kontext-apps/multi-image-list"
client = replicate.Client(api_token=TOKEN, base_url=BASE)
DATA = Path(PICTURE).read_bytes()
URI = "data:image/png;base64," + base64.b64encode(DATA).decode()


def fetched(url):
    with urllib.request.urlopen(url) as answer:  # noqa: S310  the server under test
        return answer.read()


def is_png(output):
    url, data = (
        (output, fetched(output)) if isinstance(output, str) else (output.url, output.read())
    )
    assert url.startswith(BASE), url
    assert data.startswith(b"\x89PNG"), url


def raised(kind, perform):
    try:
        perform()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def run():
    output = client.run(PRO, input={"prompt": "make it black and white", "input_image": URI})
    assert isinstance(output, str) is BASE.startswith("http:"), "a file object only over TLS"
    is_png(output)


def run_by_version():
    version = client.models.get(PRO).latest_version.id
    is_png(client.run(f"{PRO}:{version}", input={"prompt": "invert", "input_image": URI}))


def create_poll_fetch():
    fields = {"prompt": "make it black and white", "input_image": URI, "seed": 7}
    prediction = client.predictions.create(model=PRO, input=fields)
    assert prediction.status == "starting", prediction.status
    prediction.wait()
    assert prediction.status == "succeeded", prediction.error
    assert "Using seed: 7" in prediction.logs, prediction.logs
    assert prediction.metrics["total_time"] > 0
    is_png(prediction.output)


def upload():
    file = client.files.create(PICTURE, metadata={"by": {"whom": "me"}})
    assert file.content_type == "image/png", file
    assert file.metadata == {"by": {"whom": "me"}}, file
    assert next(it.id for it in client.files.list()) == file.id
    is_png(client.run(PRO, input={"prompt": "invert", "input_image": file.urls["get"]}))
    client.files.delete(file.id)
    gone = raised(ReplicateError, lambda: client.files.get(file.id))
    assert "File not found" in str(gone), gone


def file_objects():
    with open(PICTURE, "rb") as picture:
        fields = {"prompt": "side by side", "input_images": [picture, io.BytesIO(DATA)]}
        is_png(client.run(LIST, input=fields))


def data_uri():
    with open(PICTURE, "rb") as picture:
        fields = {"prompt": "invert", "input_image": picture}
        is_png(client.run(PRO, input=fields, file_encoding_strategy="base64"))


def wait_expiry():
    fields = {"prompt": "invert", "input_image": SLOW, "output_format": "png"}
    prediction = client.models.predictions.create(DEV, input=fields, wait=1)
    assert prediction.status == "starting", prediction.status
    prediction.wait()
    is_png(prediction.output)


def cancel():
    fields = {"prompt": "invert", "input_image": SLOW}
    prediction = client.models.predictions.create(DEV, input=fields)
    prediction.cancel()
    assert prediction.status == "canceled", prediction.status
    assert client.predictions.get(prediction.id).status == "canceled"


def failed():
    broken = "data:image/png;base64," + base64.b64encode(b"no picture").decode()
    fields = {"prompt": "invert", "input_image": broken}
    error = raised(ModelError, lambda: client.run(PRO, input=fields))
    assert error.prediction.status == "failed"
    assert str(error) == error.prediction.error


def two_pages():
    first = client.predictions.list()
    second = client.predictions.list(cursor=first.next)
    assert len(first.results) == 100, len(first.results)
    assert second.results
    assert not {it.id for it in first} & {it.id for it in second}


def stream():
    fields = {"prompt": "invert", "input_image": URI}
    events = [(it.event.value, it.data) for it in client.stream(PRO, input=fields)]
    assert [name for name, _ in events] == ["output", "done"], events
    is_png(events[0][1])


def webhook():
    fields = {"prompt": "invert", "input_image": URI}
    prediction, headers, body = received(
        lambda url: client.models.predictions.create(
            PRO, input=fields, webhook=url, webhook_events_filter=["completed"]
        )
    )
    headers, body = dict(headers), body.decode()
    secret = client.webhooks.default.secret()
    client.webhooks.validate(headers=headers, body=body, secret=secret, tolerance=300)
    assert json.loads(body)["id"] == prediction.id, body
    is_png(json.loads(body)["output"])


def refusals():
    for fields, words in (({}, "prompt is required"), ({"prompt": "x", "seed": "a"}, "integer")):
        error = raised(ReplicateError, partial(client.run, PRO, input=fields))
        assert error.status == 422, error
        assert words in error.detail, error
    error = raised(ReplicateError, lambda: client.predictions.get("nothing"))
    assert "not found" in str(error), error


def base_urls():
    for base in (f"{BASE}/", f"{BASE}/v1", f"{BASE}/replicate", f"{BASE}/replicate/v1"):
        other = replicate.Client(api_token=TOKEN, base_url=base)
        is_png(other.run(PRO, input={"prompt": "invert", "input_image": URI}))


OPERATIONS = (
    run, run_by_version, create_poll_fetch, upload, file_objects, data_uri, wait_expiry, cancel,
    failed, two_pages, stream, webhook, refusals, base_urls,
)  # fmt: skip

for operation in OPERATIONS:
    try:
        operation()
        print(json.dumps({"operation": operation.__name__, "error": None}), flush=True)
    except Exception:
        said = traceback.format_exc(limit=-2)
        print(json.dumps({"operation": operation.__name__, "error": said}), flush=True)
