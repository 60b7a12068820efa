"""The official clients, unmodified, against the real server: every operation of every client.

Each client runs in a process of its own and prints one line per operation. A client that is not
installed (`make clients`) is skipped, and says so.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from PIL import Image

from retouch.running import RunningServer, running_server

HERE = Path(__file__).parent
CLIENTS = HERE.parents[2] / "build" / "clients"
MODEL = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
TOKEN = "r8_any_token_will_do"  # noqa: S105  no key exists: callers on this machine are let in
TIMEOUT_S = 300
SLOW_S = 2.0
BASICS = (
    "run", "run_by_version", "create_poll_fetch", "upload", "file_objects", "data_uri",
    "wait_expiry", "cancel", "failed", "two_pages", "refusals",
)  # fmt: skip


@dataclass(frozen=True)
class Client:
    """One official client: how its driver is started, and what must be there for it."""

    title: str
    script: str
    operations: tuple[str, ...]
    needs: Path | None = None

    def command(self, *arguments: str) -> list[str]:
        if self.script.endswith(".cjs"):
            node = shutil.which("node") or "node"
            return [node, str(HERE / self.script), str(self.needs), *arguments]
        return [sys.executable, str(HERE / self.script), *arguments]

    @property
    def missing(self) -> str:
        """Why it cannot run here, or nothing."""
        if self.script.endswith(".cjs") and shutil.which("node") is None:
            return "node is not installed"
        if self.needs is not None and not (self.needs / "replicate").is_dir():
            return f"{self.title} is not installed; run make clients"
        return ""


MATRIX = (
    Client("PyPI replicate 1.0.7", "replicate_py1.py", (*BASICS, "stream")),
    Client("PyPI replicate 2.0.0b4", "replicate_py2.py", (*BASICS, "use"), CLIENTS / "replicate2"),
    Client(
        "npm replicate 1.4.0",
        "replicate_js.cjs",
        (*BASICS, "run_polling", "stream", "progress_and_search"),
        CLIENTS / "node" / "node_modules",
    ),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """`retouch serve`, with more predictions behind it than fit on a page."""
    data = tmp_path_factory.mktemp("clients") / "data"
    here = ("--allow-fetch", "127.0.0.0/8")  # the slow picture is served by this very process
    with running_server(data, "--weights", "toy", *here) as server:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: canceled(server.url), range(101)))
        yield server


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small photograph's stand-in."""
    path = tmp_path_factory.mktemp("picture") / "cat.png"
    Image.radial_gradient("L").convert("RGB").resize((96, 64)).save(path)
    return path


@pytest.fixture(scope="module")
def slow(picture: Path) -> Iterator[str]:
    """The URL of the same picture, from a host that takes its time: so an edit can be slow."""

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(SLOW_S)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(picture.read_bytes())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as host:
        serving = threading.Thread(target=host.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{host.server_port}/cat.png"
        host.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def results(
    server: RunningServer, picture: Path, slow: str
) -> Iterator[dict[str, dict[str, str | None]]]:
    """What each client said of each operation; printed as a matrix at the end."""
    said = {
        client.title: outcome(client, server.url, TOKEN, str(picture), slow)
        for client in MATRIX
        if not client.missing
    }
    yield said
    print_matrix(said)


@pytest.mark.parametrize(
    ("client", "operation"),
    [
        pytest.param(client, operation, id=f"{client.title}: {operation}")
        for client in MATRIX
        for operation in client.operations
    ],
)
def test_an_official_client_works_unmodified(
    client: Client, operation: str, request: pytest.FixtureRequest
) -> None:
    if client.missing:
        pytest.skip(client.missing)

    said = request.getfixturevalue("results")[client.title]

    assert said.get(operation, "the driver ended before it") is None


def canceled(url: str) -> None:
    """Leave one cancelled prediction behind."""
    body = json.dumps({"input": {"prompt": "filler"}}).encode()
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(url + MODEL, body, headers), timeout=30) as answer:  # noqa: S310  ours
        cancel = json.load(answer)["urls"]["cancel"]
    urlopen(Request(cancel, b"", method="POST"), timeout=30).close()  # noqa: S310  our own server


def outcome(client: Client, *arguments: str) -> dict[str, str | None]:
    """Run a driver; each operation's error, None for a success."""
    path = {"PYTHONPATH": str(client.needs)} if client.needs else {}
    ran = subprocess.run(  # noqa: S603  our own drivers
        client.command(*arguments),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **path},
        check=False,
    )
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    if not lines:
        return {"driver": ran.stderr}
    return {line["operation"]: line["error"] for line in lines}


def print_matrix(said: dict[str, dict[str, str | None]]) -> None:
    passed = total = 0
    print("\n")
    for client in MATRIX:
        if client.missing:
            print(f"{client.title:<24} skipped: {client.missing}")
            continue
        outcomes = [said[client.title].get(name, "missing") is None for name in client.operations]
        passed, total = passed + sum(outcomes), total + len(outcomes)
        broken = [n for n, fine in zip(client.operations, outcomes, strict=True) if not fine]
        print(f"{client.title:<24} {sum(outcomes):>2} of {len(outcomes)}", *broken)
    print(f"{'all clients':<24} {passed:>2} of {total}")
