"""Drives PyPI openai, 1.x and 3.x, against a server: `openai_py.py BASE TOKEN PICTURE SLOW`.

SLOW is the URL of a picture that takes a while. Prints one JSON line per operation: its name and,
when it failed, why.
"""

import base64
import io
import json
import sys
import traceback
import urllib.request
from pathlib import Path

from openai import APIError, BadRequestError, NotFoundError, OpenAI
from openai.types import ImagesResponse
from PIL import Image

BASE, TOKEN, PICTURE, SLOW = sys.argv[1:5]
client = OpenAI(api_key=TOKEN, base_url=f"{BASE}/v1")
DATA = Path(PICTURE).read_bytes()
MODEL = "gpt-image-1"


def is_picture(answer, magic=b"\x89PNG", count=1):
    pictures = [base64.b64decode(it.b64_json) for it in answer.data]
    assert len(pictures) == count, len(pictures)
    assert all(it.startswith(magic) for it in pictures), pictures[0][:9]


def edit():
    with open(PICTURE, "rb") as picture:
        answer = client.images.edit(model=MODEL, image=picture, prompt="make it black and white")
    is_picture(answer)
    assert answer.usage.total_tokens > 0, answer.usage
    assert answer.background == "opaque", answer.background
    assert answer._request_id


def several_pictures():
    images = [open(PICTURE, "rb"), io.BytesIO(DATA), DATA]  # noqa: SIM115  closed with the process
    is_picture(client.images.edit(model=MODEL, image=images, prompt="side by side"))


def every_field():
    answer = client.images.edit(
        model=MODEL,
        image=DATA,
        prompt="invert",
        n=2,
        size="512x256",
        quality="high",
        background="auto",
        output_format="jpeg",
        output_compression=70,
        input_fidelity="high",
        user="me",
        extra_body={"seed": 7, "nested": {"a": 1}, "lst": [1, 2]},
    )
    is_picture(answer, b"\xff\xd8", 2)
    assert answer.size == "512x256", answer.size
    assert answer.quality == "high", answer.quality


def hole(size):
    """The bottom half may change."""
    mask = Image.new("RGBA", size, "white")
    mask.paste((0, 0, 0, 0), (0, size[1] // 2, *size))
    file = io.BytesIO()
    mask.save(file, "PNG")
    return file.getvalue()


def text(data):
    return base64.b64encode(data).decode()


def masked():
    """Outside the mask the answer is the picture itself, scaled and nothing else."""
    with Image.open(PICTURE) as picture:
        original = picture.convert("RGB")
    mask = hole(original.size)
    image, hidden = ({"image_url": f"data:image/png;base64,{it}"} for it in map(text, (DATA, mask)))
    by_json = {"prompt": "invert", "images": [image], "mask": hidden}
    for answer in (
        client.images.edit(model=MODEL, image=DATA, mask=("mask.png", mask), prompt="invert"),
        client.post("/images/edits", body=by_json, cast_to=ImagesResponse),
    ):
        with Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json))) as made:
            scaled = original.resize(made.size, Image.Resampling.LANCZOS)
            width, height = made.size
            for part, is_kept in (
                ((0, 0, width, height // 2), True),
                ((0, height // 2 + 1, width, height), False),
            ):
                is_equal = made.crop(part).tobytes() == scaled.crop(part).tobytes()
                assert is_equal is is_kept, part


def generate():
    is_picture(client.images.generate(model=MODEL, prompt="a red kite", size="256x256"))


def by_url():
    answer = client.images.generate(model=MODEL, prompt="a kite", response_format="url")
    assert answer.data[0].url.startswith(BASE), answer
    for older in ("dall-e-2", "dall-e-3"):
        linked = client.images.generate(model=older, prompt="a kite", size="256x256")
        assert linked.data[0].url.startswith(BASE), linked
    with urllib.request.urlopen(answer.data[0].url) as found:  # noqa: S310  the server under test
        assert found.read().startswith(b"\x89PNG")


def json_body():
    fields = {"prompt": "invert", "images": [{"image_url": SLOW}]}
    answer = client.post("/images/edits", body=fields, cast_to=object)
    assert base64.b64decode(answer["data"][0]["b64_json"]).startswith(b"\x89PNG")


def models():
    names = [it.id for it in client.models.list()]
    assert "flux-kontext" in names, names
    assert client.models.retrieve("flux-kontext-pro").id == "flux-kontext-pro"
    assert raised(NotFoundError, lambda: client.models.retrieve("none")).code == "model_not_found"


def files():
    listed = list(client.files.list())
    assert all(it.object == "file" for it in listed), listed
    page = client.files.list(limit=1)
    assert len(page.data) <= 1, page  # other clients add and delete files meanwhile
    assert page.has_more is not None, page
    assert not list(client.files.list(purpose="fine-tune"))
    error = raised(BadRequestError, lambda: client.files.list(order="asc"))
    assert error.param == "order", error


def file_by_id():
    file = client.files.create(file=("cat.png", DATA), purpose="vision")
    assert (file.filename, file.bytes) == ("cat.png", len(DATA)), file
    assert client.files.retrieve(file.id).bytes == len(DATA)
    assert client.files.content(file.id).read() == DATA
    body = {"model": MODEL, "prompt": "invert", "images": [{"file_id": file.id}]}
    is_picture(client.post("/images/edits", cast_to=ImagesResponse, body=body))
    client.files.delete(file.id)
    raised(NotFoundError, lambda: client.files.content(file.id))
    wrong = {"file": DATA, "purpose": "fine-tune"}
    assert raised(BadRequestError, lambda: client.files.create(**wrong)).param == "purpose"


def pixels(event):
    with Image.open(io.BytesIO(base64.b64decode(event.b64_json))) as picture:
        return picture.size, picture.convert("RGB").tobytes()


def shown_well(events, kind):
    """Partial pictures of the final one's size, each closer to it, in the types of the library."""
    *partial, final = list(events)
    assert [it.type for it in partial] == [f"{kind}.partial_image"] * 3, partial
    assert [it.partial_image_index for it in partial] == [0, 1, 2]
    assert final.type == f"{kind}.completed", final.type
    assert final.usage.total_tokens > 0
    size, end = pixels(final)
    assert final.size == "x".join(map(str, size)), final.size
    far = []
    for it in partial:
        assert (it.background, it.output_format, it.quality) == ("opaque", "png", "low"), it
        shape, seen = pixels(it)
        assert shape == size, (shape, size)
        far.append(sum(abs(a - b) for a, b in zip(seen, end, strict=True)))
    assert far == sorted(far, reverse=True), far
    assert far[0] > far[-1] > 0, far


def stream():
    options = {"prompt": "invert", "quality": "low", "stream": True, "partial_images": 3}
    extra = {"num_inference_steps": 8, "seed": 1}
    events = client.images.edit(model=MODEL, image=DATA, extra_body=extra, **options)
    shown_well(events, "image_edit")
    events = client.images.generate(model=MODEL, extra_body=extra, **options)
    shown_well(events, "image_generation")
    (completed,) = client.images.generate(model=MODEL, prompt="a kite", stream=True)
    assert completed.type == "image_generation.completed", completed.type


def stream_failed():
    events = client.images.edit(model=MODEL, image=b"no picture", prompt="x", stream=True)
    assert "image" in raised(APIError, lambda: list(events)).message


def raised(kind, perform):
    try:
        perform()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def refusals():
    error = raised(BadRequestError, lambda: client.images.edit(image=DATA, prompt=""))
    assert error.param == "prompt", error
    error = raised(
        BadRequestError,
        lambda: client.images.edit(image=DATA, prompt="x", mask=("m.png", hole((8, 4)))),
    )
    assert error.param == "mask", error
    assert "8x4" in error.message, error


def failed():
    error = raised(BadRequestError, lambda: client.images.edit(image=b"no picture", prompt="x"))
    assert error.code == "invalid_image_file", error
    assert error.response.headers["x-should-retry"] == "false"


def base_urls():
    for base in (f"{BASE}/openai/v1", f"{BASE}/openai", f"{BASE}/v1/"):
        other = OpenAI(api_key=TOKEN, base_url=base)
        is_picture(other.images.edit(model=MODEL, image=DATA, prompt="invert"))


OPERATIONS = (
    edit, several_pictures, every_field, masked, generate, by_url, json_body, models, files,
    file_by_id, refusals, failed, base_urls, stream, stream_failed,
)  # fmt: skip

for operation in OPERATIONS:
    try:
        operation()
        print(json.dumps({"operation": operation.__name__, "error": None}), flush=True)
    except Exception:
        said = traceback.format_exc(limit=-2)
        print(json.dumps({"operation": operation.__name__, "error": said}), flush=True)
