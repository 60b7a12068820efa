"""`retouch serve` refuses what its worker or its pictures' store could never work with."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from retouch.cli import main
from retouch.web import server


@pytest.fixture(autouse=True)
def never_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    def listen(*_: object, **__: object) -> None:
        raise AssertionError("it listens")

    monkeypatch.setattr(server, "listen", listen)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--weights", "nope"], "there are no weights at nope; give a folder, a repository as "),
        (["--weights", "nope"], "flux1-kontext-dev"),
        (["--weights", "nope/folder"], "nope/folder is not on this machine; run: retouch models"),
        (["--weights", "flux2-klein-4b"], "run: retouch models pull black-forest-labs/FLUX.2-klei"),
        (["--weights", "flux1-kontext-dev"], "--accept-licence"),
        (["--weights", "FOLDER"], "cannot read FOLDER/model_index.json: No such file"),
        (["--transformer", "gone.gguf"], "setting 'transformer' is 'gone.gguf': there is no such"),
        (["--loras", "gone"], "setting 'loras' is 'gone': there is no such folder"),
        (["--safety-words", "gone.txt"], "setting 'safety_words' is 'gone.txt'"),
    ],
)
def test_what_a_worker_cannot_start_with_is_refused(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    flags = [flag.replace("FOLDER", str(folder)) for flag in flags]

    code = main(["serve", "--port", "0", "--data", str(tmp_path / "data"), *flags])

    told = capsys.readouterr()
    assert (code, told.out) == (1, "")
    assert told.err.startswith("retouch: ")
    assert said.replace("FOLDER", str(folder)) in told.err


def test_without_torch_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retouch.bootstrap.engine.find_spec", lambda _: None)

    assert main(["serve", "--port", "0", "--data", str(tmp_path)]) == 1

    assert "pip install '.[engine]'" in capsys.readouterr().err


class Bucketless(BaseHTTPRequestHandler):
    """S3 without the bucket that is asked for."""

    BODY = b"<Error><Code>NoSuchBucket</Code><Message>It does not exist.</Message></Error>"

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("content-length", str(len(self.BODY)))
        self.end_headers()
        self.wfile.write(self.BODY)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Bucketless) as host:
        serving = threading.Thread(target=host.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{host.server_port}"
        host.shutdown()
        serving.join()


def test_a_bucket_that_is_not_there_is_refused(
    endpoint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = {"ENDPOINT": endpoint, "ALLOW_HTTP": "true", "REGION": "us-east-1"}
    said |= {"ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "secret"}
    for name, value in said.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    flags = ["--weights", "toy", "--blobs", "s3://gone/pictures"]

    assert main(["serve", "--port", "0", "--data", str(tmp_path), *flags]) == 1

    assert capsys.readouterr().err == (
        "retouch: pictures cannot be kept at s3://gone/pictures, which setting 'blobs' names: "
        "it answered NoSuchBucket\n"
    )
