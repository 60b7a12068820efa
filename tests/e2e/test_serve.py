"""The real `retouch serve`, on the toy weights where the picture does not matter."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from retouch.running import RunningServer, running_server

MODEL = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
TOY = ("--weights", "toy", "--log-format", "json")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One for the tests that leave it as they found it."""
    with running_server(tmp_path_factory.mktemp("serve") / "data", *TOY) as server:
        yield server


def call(url: str, body: object = None, **headers: str) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    with urlopen(Request(url, data, headers), timeout=90) as answer:  # noqa: S310  our own server
        return json.load(answer)


def ended(url: str) -> dict[str, object]:
    """The prediction after its event stream has said that it is over."""
    urls = call(url)["urls"]
    assert isinstance(urls, dict)
    with urlopen(urls["stream"], timeout=90) as events:  # noqa: S310  our own server
        events.read()
    return call(url)


def retouch(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "retouch.cli", *arguments]
    return subprocess.run(  # noqa: S603  ours
        command, check=False, capture_output=True, text=True, timeout=60
    )


def worker_pids(server: RunningServer) -> list[int]:
    return [json.loads(line)["pid"] for line in server.log if '"worker.started"' in line]


def test_an_edit_comes_back_as_a_link_that_needs_no_header(server: RunningServer) -> None:
    done = call(server.url + MODEL, {"input": {"prompt": "go"}}, Prefer="wait=60")

    assert done["status"] == "succeeded"
    with urlopen(str(done["output"])) as picture:  # noqa: S310  our own server
        assert picture.headers["content-type"] == "image/png"
        assert picture.read(8) == b"\x89PNG\r\n\x1a\n"


def test_the_web_process_never_loads_torch(server: RunningServer) -> None:
    call(server.url + MODEL, {"input": {"prompt": "go"}}, Prefer="wait=60")

    libraries = Path(f"/proc/{server.process.pid}/maps").read_text()

    assert "libtorch" not in libraries


def test_a_killed_worker_is_replaced_and_work_goes_on(server: RunningServer) -> None:
    call(server.url + MODEL, {"input": {"prompt": "go"}}, Prefer="wait=60")
    before = worker_pids(server)
    os.kill(before[-1], signal.SIGKILL)

    done = call(server.url + MODEL, {"input": {"prompt": "again"}}, Prefer="wait=60")

    assert done["status"] == "succeeded"
    assert len(worker_pids(server)) == len(before) + 1


def test_a_killed_server_finishes_what_it_accepted_when_started_again(tmp_path: Path) -> None:
    first = RunningServer(tmp_path, *TOY)
    ids = [call(first.url + MODEL, {"input": {"prompt": "go"}})["id"] for _ in range(5)]
    first.kill()

    with running_server(tmp_path, *TOY) as second:
        found = [ended(f"{second.url}/v1/predictions/{id}") for id in ids]

    assert {prediction["status"] for prediction in found} == {"succeeded"}


def test_sigterm_ends_everything_cleanly(tmp_path: Path) -> None:
    server = RunningServer(tmp_path, *TOY)
    call(server.url + MODEL, {"input": {"prompt": "go"}}, Prefer="wait=60")
    (worker,) = worker_pids(server)

    code = server.stop()

    assert code == 0
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def refusal(url: str, body: object = None) -> HTTPError:
    with pytest.raises(HTTPError) as refused:
        call(url, body)
    refused.value.close()
    return refused.value


def test_a_draining_server_shows_what_it_has_and_takes_nothing_new(tmp_path: Path) -> None:
    server = RunningServer(tmp_path, *TOY)
    call(server.url + MODEL, {"input": {"prompt": "go"}}, Prefer="wait=60")
    (worker,) = worker_pids(server)
    os.kill(worker, signal.SIGSTOP)  # so that the drain lasts until we let it end
    try:
        id = call(server.url + MODEL, {"input": {"prompt": "late"}})["id"]
        server.process.send_signal(signal.SIGTERM)
        while not any('"server.draining"' in line for line in server.log):
            threading.Event().wait(0.01)

        ready = refusal(f"{server.url}/readyz")
        create = refusal(server.url + MODEL, {"input": {"prompt": "too late"}})
        shown = call(f"{server.url}/v1/predictions/{id}")
    finally:
        os.kill(worker, signal.SIGCONT)
    code = server.stop()

    assert (ready.code, create.code) == (503, 503)
    assert int(create.headers["retry-after"]) >= 1
    assert shown["status"] == "starting"
    assert code == 0
    with running_server(tmp_path, *TOY) as second:
        assert ended(f"{second.url}/v1/predictions/{id}")["status"] == "succeeded"


def test_a_web_process_and_a_worker_apart_serve_and_drain(tmp_path: Path) -> None:
    flags = (*TOY, "--drain-s", "1")
    web = RunningServer(tmp_path, *flags, command="web")
    command = [sys.executable, "-m", "retouch.cli", "worker", "--data", str(tmp_path), *flags]
    worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603  ours
    try:
        done = call(web.url + MODEL, {"input": {"prompt": "go"}}, Prefer="wait=60")
        worker.send_signal(signal.SIGTERM)
        _, said = worker.communicate(timeout=60)
        with ThreadPoolExecutor() as pool:
            body = {"input": {"prompt": "nobody is there to make it"}}
            held = pool.submit(call, web.url + MODEL, body, Prefer="wait=60")
            while not call(f"{web.url}/v1/predictions")["results"][1:]:
                threading.Event().wait(0.01)
            code = web.stop()
            left = held.result(timeout=60)
    finally:
        worker.kill()
        web.kill()

    assert done["status"] == "succeeded"
    assert worker.returncode == 0
    assert '"worker.drained"' in said
    assert (code, left["status"]) == (0, "starting")


def test_a_folder_in_use_is_refused(server: RunningServer) -> None:
    second = retouch("serve", "--port", "0", "--data", str(server.data), "--weights", "toy")

    assert second.returncode == 1
    assert second.stderr.startswith("retouch: another retouch server is using")


def test_a_public_bind_without_a_key_is_refused_with_the_command_that_fixes_it(
    tmp_path: Path,
) -> None:
    refused = retouch("serve", "--host", "0.0.0.0", "--port", "0", "--data", str(tmp_path))  # noqa: S104

    assert refused.returncode == 1
    assert f"retouch keys create NAME --data {tmp_path}" in refused.stderr


def test_a_created_key_closes_the_server_to_everybody_else(tmp_path: Path) -> None:
    made = retouch("keys", "create", "anna", "--data", str(tmp_path), "--json")
    secret = json.loads(made.stdout)["key"]

    with running_server(tmp_path, *TOY) as server:
        with pytest.raises(HTTPError, match="401"):
            call(f"{server.url}/v1/predictions")
        listed = call(f"{server.url}/v1/predictions", Authorization=f"Bearer {secret}")

    assert listed["results"] == []
    assert not any(secret in line for line in server.log)


def test_operators_see_and_cancel_predictions(server: RunningServer) -> None:
    id = str(call(server.url + MODEL, {"input": {"prompt": "go"}}, Prefer="wait=60")["id"])

    listed = retouch("predictions", "list", "--data", str(server.data), "--json")
    shown = retouch("predictions", "show", id, "--data", str(server.data), "--json")
    canceled = retouch("predictions", "cancel", id, "--data", str(server.data))

    assert json.loads(listed.stdout)[0]["id"] == id
    events = [event["name"] for event in json.loads(shown.stdout)["events"]]
    assert events == ["created", "started", "succeeded"]
    assert canceled.stdout == f"{id} is already succeeded\n"
