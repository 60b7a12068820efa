"""Edit real photographs through a running server and the official Replicate client.

Starts a server of its own on a free port, makes one edit of one photo and one of two, saves
before and after under demo/, says how long each part took, and stops what it started.
"""

import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import replicate

from retouch.running import RunningServer, running_server

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT / "examples" / "photos"
RESULTS = ROOT / "demo"

EDITS = (
    (
        "black-forest-labs/flux-kontext-pro",
        "make it black and white",
        {"input_image": "astronaut.jpg"},
    ),
    (
        "flux-kontext-apps/multi-image-kontext-pro",
        "blend the two pictures together",
        {"input_image_1": "cat.jpg", "input_image_2": "coffee.jpg"},
    ),
)


def main() -> None:
    started = time.monotonic()
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as data, running_server(Path(data)) as server:
        print(f"server ready at {server.url} after {server.ready_s:.1f} s")
        for model, prompt, photos in EDITS:
            edit(server, model, prompt, photos)
    print(f"all done in {time.monotonic() - started:.1f} s; the pictures are in {RESULTS}")


def edit(server: RunningServer, model: str, prompt: str, photos: dict[str, str]) -> None:
    """One edit through the client: files in, one picture out."""
    client = replicate.Client(api_token="any-token-on-loopback", base_url=server.url)  # noqa: S106  no secret
    started = time.monotonic()
    images = {field: (PHOTOS / name).open("rb") for field, name in photos.items()}
    output = client.run(model, input={"prompt": prompt, **images})
    name = prompt.replace(" ", "-")
    for field, photo in photos.items():
        (RESULTS / f"{name}.before-{field}.jpg").write_bytes((PHOTOS / photo).read_bytes())
    after = RESULTS / f"{name}.after.png"
    with urlopen(str(output)) as answer:  # noqa: S310  our own server's link
        after.write_bytes(answer.read())
    print(
        f"{time.monotonic() - started:5.1f} s  {prompt!r} on {', '.join(photos.values())}: {after}"
    )


if __name__ == "__main__":
    main()
