"""Drives PyPI replicate 2.0.0b4 against a server: `replicate_py2.py BASE TOKEN PICTURE SLOW`.

SLOW is the URL of a picture that takes a while. Prints one JSON line per operation: its name and,
when it failed, why.
"""

import base64
import io
import itertools
import json
import os
import sys
import traceback
import urllib.request
from functools import partial
from pathlib import Path

BASE, TOKEN, PICTURE, SLOW = sys.argv[1:5]
os.environ["REPLICATE_BASE_URL"] = f"{BASE}/v1"
os.environ["REPLICATE_API_TOKEN"] = TOKEN

import replicate  # noqa: E402  reads the two variables when it is imported
from replicate.exceptions import ModelError, NotFoundError, UnprocessableEntityError  # noqa: E402

PRO = "black-forest-labs/flux-kontext-pro"
DEV = "black-forest-labs/flux-kontext-dev"
LIST = "flux-kontext-apps/multi-image-list"
client = replicate.Replicate(bearer_token=TOKEN, base_url=f"{BASE}/v1")
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


def create(model, wait=None, **fields):
    owner, name = model.split("/")
    more = {"prefer": f"wait={wait}"} if wait else {}
    return client.models.predictions.create(
        model_owner=owner, model_name=name, input=fields, **more
    )


def run():
    output = client.run(PRO, input={"prompt": "make it black and white", "input_image": URI})
    assert isinstance(output, str) is BASE.startswith("http:"), "a file object only over TLS"
    is_png(output)


def run_by_version():
    owner, name = PRO.split("/")
    model = client.models.get(model_owner=owner, model_name=name)
    version = model.latest_version.id
    is_png(client.run(f"{PRO}:{version}", input={"prompt": "invert", "input_image": URI}))


def use():
    edit = replicate.use(PRO)
    output = edit(prompt="invert", input_image=URI)
    with open(output, "rb") as picture:
        assert picture.read().startswith(b"\x89PNG")


def create_poll_fetch():
    made = create(PRO, prompt="make it black and white", input_image=URI, seed=7)
    assert made.status == "starting", made.status
    done = client.predictions.wait(made.id)
    assert done.status == "succeeded", done.error
    assert "Using seed: 7" in done.logs, done.logs
    assert done.metrics.total_time > 0
    is_png(done.output)


def upload():
    with open(PICTURE, "rb") as picture:
        file = client.files.create(
            content=picture.read(),
            filename="cat.png",
            type="image/png",
            metadata={"by": {"whom": "me"}},
        )
    assert file.content_type == "image/png", file
    assert file.metadata == {"by": {"whom": "me"}}, file
    assert next(iter(client.files.list())).id == file.id
    bytes_again = client.files.download(file_id=file.id, owner="me", expiry=1, signature="none")
    assert bytes_again.read() == DATA
    is_png(client.run(PRO, input={"prompt": "invert", "input_image": file.urls.get}))
    client.files.delete(file_id=file.id)
    gone = raised(NotFoundError, lambda: client.files.get(file_id=file.id))
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
    made = create(DEV, wait=1, **fields)
    assert made.status == "starting", made.status
    is_png(client.predictions.wait(made.id).output)


def cancel():
    made = create(DEV, prompt="invert", input_image=SLOW)
    canceled = client.predictions.cancel(prediction_id=made.id)
    assert canceled.status == "canceled", canceled.status
    assert client.predictions.get(prediction_id=made.id).status == "canceled"


def failed():
    broken = "data:image/png;base64," + base64.b64encode(b"no picture").decode()
    fields = {"prompt": "invert", "input_image": broken}
    error = raised(ModelError, lambda: client.run(PRO, input=fields))
    assert error.prediction.status == "failed"
    assert error.prediction.error


def two_pages():
    ids = [it.id for it in itertools.islice(client.predictions.list(), 101)]
    assert len(set(ids)) == 101, len(set(ids))


def refusals():
    for fields, words in (({}, "prompt is required"), ({"prompt": "x", "seed": "a"}, "integer")):
        error = raised(UnprocessableEntityError, partial(client.run, PRO, input=fields))
        assert words in str(error), error
    error = raised(NotFoundError, lambda: client.predictions.get(prediction_id="nothing"))
    assert "not found" in str(error), error


def base_urls():
    for base in (BASE, f"{BASE}/v1/", f"{BASE}/replicate", f"{BASE}/replicate/v1"):
        other = replicate.Replicate(bearer_token=TOKEN, base_url=base)
        is_png(other.run(PRO, input={"prompt": "invert", "input_image": URI}))


OPERATIONS = (
    run, run_by_version, use, create_poll_fetch, upload, file_objects, data_uri, wait_expiry,
    cancel, failed, two_pages, refusals, base_urls,
)  # fmt: skip

for operation in OPERATIONS:
    try:
        operation()
        print(json.dumps({"operation": operation.__name__, "error": None}), flush=True)
    except Exception:
        said = traceback.format_exc(limit=-2)
        print(json.dumps({"operation": operation.__name__, "error": said}), flush=True)
