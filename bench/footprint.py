"""What an idle server weighs and how fast it is there: memory, time to ready, one warm edit.

    python bench/footprint.py [--quick] [--weights nano]

Memory is resident set size from /proc (Linux). Edits are 256x256 by the weights' own default
steps, through HTTP, with the worker warm. Prints a table and, last, one JSON object.
"""

import argparse
import base64
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import Request, urlopen

from PIL import Image
from shared.aims import Aim, tell
from shared.watching import memory_mb, worker_pid

from retouch.running import RunningServer, running_server

PHOTO = Path(__file__).parents[1] / "examples" / "photos" / "cat.jpg"
MODEL = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
HELP = (sys.executable, "-m", "retouch.cli", "--help")
AIMS = (
    Aim("help_s", "<=", 0.3),
    Aim("web_ready_s", "<=", 2),
    Aim("web_resident_mb", "<=", 120),
    Aim("worker_peak_mb", "<=", 1500),
    Aim("edit_s_median", "<=", 2),
)


def help_s(runs: int) -> float:
    """Median wall seconds of `retouch --help`."""
    times = []
    for _ in range(runs):
        started = time.monotonic()
        subprocess.run(HELP, capture_output=True, check=True)  # noqa: S603  our own command
        times.append(time.monotonic() - started)
    return statistics.median(times)


def square_photo() -> str:
    """The cat at 256x256 as a data URI."""
    picture = io.BytesIO()
    Image.open(PHOTO).resize((256, 256)).save(picture, "PNG")
    return "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()


def edit(server: RunningServer, photo: str) -> tuple[float, float]:
    """One edit: seconds at the caller, and seconds in the engine."""
    body = {"input": {"prompt": "make it black and white", "input_image": photo}}
    headers = {"Content-Type": "application/json", "Prefer": "wait=60"}
    started = time.monotonic()
    request = Request(server.url + MODEL, json.dumps(body).encode(), headers)  # noqa: S310  ours
    with urlopen(request, timeout=90) as answer:  # noqa: S310  ours
        prediction = json.load(answer)
    if prediction["status"] != "succeeded":
        raise RuntimeError(f"the edit ended {prediction['status']}: {prediction['error']}")
    return time.monotonic() - started, prediction["metrics"]["predict_time"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--weights", default="nano")
    options = parser.parse_args()
    runs = 3 if options.quick else 10
    photo = square_photo()
    figures: dict[str, float] = {"help_s": help_s(runs)}
    with tempfile.TemporaryDirectory() as folder:
        flags = ("--weights", options.weights, "--log-format", "json")
        with running_server(Path(folder), *flags) as server:
            figures["web_ready_s"] = server.ready_s
            edit(server, photo)  # warms the worker
            times = [edit(server, photo) for _ in range(runs)]
            figures["web_resident_mb"] = memory_mb(server.process.pid)
            worker = worker_pid(server)
            if worker is None:
                raise RuntimeError("the log names no worker")
            figures["worker_resident_mb"] = memory_mb(worker)
            figures["worker_peak_mb"] = memory_mb(worker, "VmHWM")
            figures["edit_s_median"] = statistics.median(at_caller for at_caller, _ in times)
            figures["edit_engine_s_median"] = statistics.median(inside for _, inside in times)
    figures = {name: round(value, 3) for name, value in figures.items()}
    for name, value in figures.items():
        print(f"{name:<22} {value:10.3f}")
    tell(figures, AIMS)


if __name__ == "__main__":
    main()
