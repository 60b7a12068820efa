"""Replay recorded requests with curl, compare the answers, and follow each to its picture.

    python bench/replay.py [FILE_OR_FOLDER ...] [--weights nano] [--quick]

A recording is a JSON object (a file may hold a list of them) with `method`, `path`, `headers` and
`request`, and either the `response` that came back then or the `response_fields` and `statuses`
that its documentation lists. Without arguments: the project's own, in `tests/contract/web`.

Each is sent as it stands. An answer is right when it has the recorded keys, order and types at
every level; only ids, times and hosts may differ. A body that lacks fields its own table of
`parameters` requires must be refused for exactly those, and is sent again with them. Then the
same request, its pictures replaced by a photo that can be reached here, is polled to the end at
the addresses the answers name, and the picture is fetched and opened.

Prints a table and, last, one JSON object.
"""

import argparse
import base64
import io
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from shared.aims import Aim, tell

from retouch.running import running_server

ROOT = Path(__file__).parents[1]
OWN = ROOT / "tests" / "contract" / "web" / "replays.json"
PHOTO = ROOT / "examples" / "photos" / "cat.jpg"
PATIENCE_S = 120.0
PENDING = {"starting", "processing", "IN_QUEUE", "IN_PROGRESS", "created"}

Recording = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """What curl got."""

    status: int
    body: Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", nargs="*", type=Path, default=[OWN])
    parser.add_argument("--weights", default="nano")
    parser.add_argument("--quick", action="store_true", help="accepted; it is quick as it is")
    options = parser.parse_args()
    recordings = [one for path in options.recordings for one in read(path)]
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder, "data"), "--weights", options.weights) as server,
    ):
        for recording in recordings:
            faults = [*compared(server.url, recording)]
            picture = followed(server.url, recording)
            rows.append({"path": recording["path"], "faults": faults, "picture": picture})
            print(f"{recording['path']:<72} {'; '.join(faults) or 'same shape':<24} {picture}")
    alike = sum(not row["faults"] for row in rows)
    finished = sum("pixels" in row["picture"] for row in rows)
    aims = (Aim("alike", ">=", len(rows)), Aim("finished", ">=", len(rows)))
    if not tell({"replayed": len(rows), "alike": alike, "finished": finished}, aims):
        raise SystemExit(1)


def read(path: Path) -> list[Recording]:
    """The recordings in a file, or in every JSON file of a folder."""
    if path.is_dir():
        return [one for file in sorted(path.glob("*.json")) for one in read(file)]
    found = json.loads(path.read_text())
    return found if isinstance(found, list) else [found]


# -- as it stands ----------------------------------------------------------------------------------


def compared(server: str, recording: Recording) -> Iterator[str]:
    """What is wrong with the answer to the recorded request, if anything."""
    missing = unfilled(recording)
    said = sent(server, recording, recording["request"])
    if missing:
        text = json.dumps(said.body)
        if said.status != 400:
            yield f"status {said.status} without {', '.join(missing)}"
        yield from (f"the refusal does not name {name}" for name in missing if name not in text)
        said = sent(server, recording, {**recording["request"], **filled(missing)})
    if said.status not in (200, 201):
        yield f"status {said.status}: {said.body}"
    elif "response" in recording:
        if shape(said.body) != shape(recording["response"]):
            yield f"another shape: {shape(said.body)}"
    else:
        have = set(paths(said.body))
        yield from (f"no {name}" for name in recording["response_fields"] if name not in have)
        if (status := said.body["data"]["status"]) not in recording["statuses"]:
            yield f"status word {status}"


def unfilled(recording: Recording) -> list[str]:
    """The fields its own table requires and its own body lacks."""
    rows = recording.get("parameters", ())
    return [row[0] for row in rows if row[2] and row[0] not in recording["request"]]


def filled(names: Sequence[str]) -> dict[str, Any]:
    """Values for what a sample body left out."""
    values = {"prompt": "make it black and white", "images": ["https://pictures.example/cat.jpg"]}
    return {name: values[name] for name in names}


def shape(value: Any) -> Any:
    """A value with its leaves replaced by their types; the order of keys is kept."""
    if isinstance(value, dict):
        return [(name, shape(item)) for name, item in value.items()]
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    """Every key at every level, dotted."""
    for name, item in value.items() if isinstance(value, dict) else ():
        yield prefix + name
        yield from paths(item, f"{prefix}{name}.")


# -- to its picture -------------------------------------------------------------------------------


def followed(server: str, recording: Recording) -> str:
    """The end of the same request with a photo of ours: the picture's size, or what went wrong."""
    body = {**recording["request"], **filled(unfilled(recording))}
    created = sent(server, recording, with_photo(body))
    if created.status not in (200, 201):
        return f"status {created.status}: {created.body}"
    said, headers = created.body.get("data", created.body), recording["headers"]
    address = said.get("status_url") or said["urls"]["get"]
    deadline = time.monotonic() + PATIENCE_S
    while said["status"] in PENDING:
        if time.monotonic() > deadline:
            return f"still {said['status']} after {PATIENCE_S:.0f} s"
        time.sleep(0.1)
        answer = curl("GET", address, headers).body
        said = answer.get("data", answer)
    if said["status"] == "COMPLETED":  # its result has an address of its own
        said = {**said, **curl("GET", said["response_url"], headers).body}
    link = first_link(said)
    if link is None:
        return f"{said['status']}: {said.get('error') or said}"
    ran = subprocess.run(["curl", "-sSf", link], capture_output=True, check=True)  # noqa: S603, S607
    with Image.open(io.BytesIO(ran.stdout)) as picture:
        picture.load()
        return f"{picture.format} of {picture.width}x{picture.height} pixels"


def with_photo(value: Any) -> Any:
    """The same body, each address of a picture replaced by a photo as a data URI."""
    if isinstance(value, dict):
        return {name: with_photo(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_photo(item) for item in value]
    if isinstance(value, str) and value.startswith("https://"):
        return "data:image/jpeg;base64," + base64.b64encode(PHOTO.read_bytes()).decode()
    return value


def first_link(said: Mapping[str, Any]) -> str | None:
    """The first picture an ended prediction names, wherever its protocol puts it."""
    found = said.get("output") or said.get("outputs") or said.get("images")
    while isinstance(found, list | dict):
        found = found[0] if isinstance(found, list) else found["url"]
    return found


def sent(server: str, recording: Recording, body: Any) -> Answered:
    """The answer to a recording's address for this body."""
    return curl(recording["method"], server + recording["path"], recording["headers"], body)


def curl(method: str, url: str, headers: Mapping[str, str], body: Any = None) -> Answered:
    """One request as an operator would make it by hand. Bodies go in by a pipe."""
    command = ["curl", "-sS", "-X", method, url, "-w", "\n%{http_code}"]
    for name, value in {"Content-Type": "application/json", **headers}.items():
        command += ["-H", f"{name}: {value}"]
    data = b"" if body is None else json.dumps(body).encode()
    if body is not None:
        command += ["--data-binary", "@-"]
    ran = subprocess.run(command, input=data, capture_output=True, check=True)  # noqa: S603  ours
    text, _, status = ran.stdout.decode().rpartition("\n")
    return Answered(int(status), json.loads(text))


if __name__ == "__main__":
    main()
