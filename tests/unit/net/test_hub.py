"""Pulling from a hub on this machine: resuming, totals, and a sentence for each cause."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import pytest

pytest.importorskip("huggingface_hub")

from retouch.net import hub as hub_module
from retouch.net.hub import (
    BadToken,
    DiskFull,
    Hub,
    HubError,
    LicenceNotAccepted,
    NoSuchRepository,
    NoToken,
    Offline,
    Pulled,
    RemoteFile,
    TokenWithoutScope,
    gigabytes,
)

REPO = "owner/weights"
COMMIT = "c" * 40
LARGE = bytes(range(256)) * 20_000  # five megabytes


@dataclass
class FakeHub:
    """The few routes of the Hub that a pull uses."""

    files: dict[str, bytes] = field(default_factory=dict)
    refusal: tuple[int, dict[str, str]] | None = None  # of files and lists
    damaged: bool = False
    cut_after: int | None = None  # bytes of an answer, then the line goes dead
    ranges: list[str | None] = field(default_factory=list)  # of every GET of a file
    tokens: set[str | None] = field(default_factory=set)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        hub = self.hub
        hub.tokens.add(self.headers.get("Authorization"))
        path = unquote(self.path.partition("?")[0])
        if hub.refusal is not None:
            status, headers = hub.refusal
            self._send(status, b"", headers)
        elif path.startswith(f"/api/models/{REPO}"):
            siblings = [{"rfilename": name, "size": len(it)} for name, it in hub.files.items()]
            body = {"id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": siblings}
            self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
        elif path.startswith(f"/{REPO}/resolve/main/"):
            self._file(path.removeprefix(f"/{REPO}/resolve/main/"), with_body=with_body)
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _file(self, name: str, *, with_body: bool) -> None:
        data = self.hub.files[name]
        headers = {
            "X-Repo-Commit": COMMIT,
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "Accept-Ranges": "bytes",
        }
        if self.hub.damaged:
            data = data[:-1] + b"!"
        asked = self.headers.get("Range")
        if with_body:
            self.hub.ranges.append(asked)
        if asked and asked.startswith("bytes="):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = min(int(last), len(data) - 1) if last else len(data) - 1
            headers["Content-Range"] = f"bytes {first}-{end}/{len(data)}"
            self._send(206, data[int(first) : end + 1], headers, with_body=with_body)
        else:
            self._send(200, data, headers, with_body=with_body)

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], *, with_body: bool = True
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not with_body or self.command == "HEAD":
            return
        cut = self.hub.cut_after
        if cut is not None and len(body) > cut:
            self.wfile.write(body[:cut])
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def fake() -> Iterator[FakeHub]:
    state = FakeHub(files={"model_index.json": b"{}", "vae/model.safetensors": LARGE})
    handler = type("Bound", (Handler,), {"hub": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def hub(fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    return Hub(endpoint=fake.url, cache=tmp_path)


def test_a_pull_brings_every_file_and_counts_on_the_way(hub: Hub, fake: FakeHub) -> None:
    seen: list[Pulled] = []

    folder = hub.pull(REPO, hub.files(REPO), show=seen.append)

    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in files(folder)} == (
        fake.files
    )
    assert seen[-1] == Pulled(len(LARGE) + 2, len(LARGE) + 2, 2, 2, "vae/model.safetensors")
    assert [it.done_bytes for it in seen] == sorted(it.done_bytes for it in seen)
    assert len(seen) > 5


def test_a_second_pull_asks_for_no_file(hub: Hub, fake: FakeHub) -> None:
    hub.pull(REPO, hub.files(REPO))
    fake.ranges.clear()

    hub.pull(REPO, hub.files(REPO))

    assert fake.ranges == []


def test_a_pull_that_was_stopped_goes_on_where_it_was(hub: Hub, fake: FakeHub) -> None:
    class Stop(Exception):
        pass

    def stop(pulled: Pulled) -> None:
        if pulled.done_bytes > 2_000_000:
            raise Stop

    with pytest.raises(Stop):
        hub.pull(REPO, hub.files(REPO), show=stop)
    fake.ranges.clear()

    folder = hub.pull(REPO, hub.files(REPO))

    (asked,) = fake.ranges
    assert asked is not None
    assert int(asked.removeprefix("bytes=").removesuffix("-")) > 1_000_000
    assert (folder / "vae" / "model.safetensors").read_bytes() == LARGE


def test_a_line_that_breaks_is_picked_up_again(hub: Hub, fake: FakeHub) -> None:
    fake.cut_after = 2_000_000

    folder = hub.pull(REPO, hub.files(REPO))

    assert (folder / "vae" / "model.safetensors").read_bytes() == LARGE
    assert len([it for it in fake.ranges if it]) >= 2


def test_a_line_that_stays_dead_keeps_what_arrived(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    fake.cut_after = 200_000

    with pytest.raises(Offline, match="what has arrived is kept"):
        hub.pull(REPO, hub.files(REPO))

    (partial,) = tmp_path.rglob("*.partial")
    assert partial.stat().st_size == 200_000 * Hub.tries


def test_damaged_bytes_never_take_a_files_place(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    fake.damaged = True

    with pytest.raises(HubError, match="arrived damaged and was removed"):
        hub.pull(REPO, [RemoteFile("vae/model.safetensors", len(LARGE))])

    assert not [path for path in files(tmp_path) if path.stat().st_size >= len(LARGE)]


def test_a_full_disk_is_said_before_the_first_byte(fake: FakeHub, tmp_path: Path) -> None:
    hub = Hub(endpoint=fake.url, cache=tmp_path, free_bytes=lambda _: 1_000_000_007)

    with pytest.raises(DiskFull, match=r"needs 5\.1 MB more .* which has 1\.0 GB free"):
        hub.pull(REPO, hub.files(REPO))

    assert fake.ranges == []


FINE_GRAINED = (
    "Please enable access to public gated repositories in your fine-grained token settings"
)
GATED = {
    "X-Error-Code": "GatedRepo",
    "X-Error-Message": "Access to model owner/weights is restricted",
}


@pytest.mark.parametrize(
    ("token", "status", "headers", "error", "words"),
    [
        (None, 401, GATED, NoToken, "is gated and no token was sent"),
        ("hf_x", 403, GATED, LicenceNotAccepted, "has not accepted the licence of owner/weights"),
        (
            "hf_x", 403, {**GATED, "X-Error-Message": FINE_GRAINED}, TokenWithoutScope,
            "the token may not read owner/weights",
        ),
        (
            "hf_x", 401, {"X-Error-Message": "Invalid credentials in Authorization header"},
            BadToken, "does not know this token",
        ),
        (None, 401, {}, NoSuchRepository, "there is no repository owner/weights .* private"),
        ("hf_x", 404, {"X-Error-Code": "RepoNotFound"}, NoSuchRepository, "token may not see it"),
        (
            None, 404, {"X-Error-Code": "RevisionNotFound"}, NoSuchRepository,
            "has no revision 'main'",
        ),
    ],
)  # fmt: skip
def test_each_cause_has_its_own_sentence(
    fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    token: str | None, status: int, headers: dict[str, str], error: type[HubError], words: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    hub = Hub(endpoint=fake.url, cache=tmp_path, token=token)
    fake.refusal = (status, headers)

    with pytest.raises(error, match=words) as caught:
        hub.files(REPO)
    with pytest.raises(error, match=words):
        hub.pull(REPO, [RemoteFile("model_index.json", 2)])

    assert type(caught.value) is error
    assert fake.tokens == {f"Bearer {token}" if token else None}
    assert "hf_x" not in str(caught.value)


def test_a_hub_that_is_not_there_is_offline(tmp_path: Path) -> None:
    hub = Hub(endpoint="http://127.0.0.1:9", cache=tmp_path)

    with pytest.raises(Offline, match="cannot be reached for owner/weights"):
        hub.files(REPO)


def test_headers_alone_are_counted(hub: Hub, fake: FakeHub) -> None:
    header = {
        "a": {"dtype": "BF16", "shape": [1000, 1000], "data_offsets": [0, 2_000_000]},
        "b": {"dtype": "F32", "shape": [10], "data_offsets": [2_000_000, 2_000_040]},
    }
    text = json.dumps(header).encode()
    fake.files["vae/model.safetensors"] = len(text).to_bytes(8, "little") + text + bytes(2_000_040)

    assert hub.counts(REPO, "vae/model.safetensors") == {"BF16": 1_000_000, "F32": 10}
    assert all(asked is not None for asked in fake.ranges)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (23_800_000_000, "23.8 GB")]
)
def test_sizes_are_said_in_units_people_use(count: int, text: str) -> None:
    assert gigabytes(count) == text


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_hash_decides_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")

    assert hub_module._is_whole(path, "ce013625030ba8dba906f756967f9e9ca394464a")  # git's
    assert hub_module._is_whole(path, hashlib.sha256(b"hello\n").hexdigest())
    assert not hub_module._is_whole(path, "0" * 40)
    assert not hub_module._is_whole(path, "0" * 64)
