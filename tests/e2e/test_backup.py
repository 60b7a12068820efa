"""A backup of a running server can be served, and knows what the first one knew."""

import stat
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from retouch.running import running_server

CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
PICTURE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="  # noqa: E501


def retouch(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "retouch.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603


def test_a_backup_of_a_running_server_is_served(tmp_path: Path) -> None:
    data, to = tmp_path / "data", tmp_path / "copy"
    with running_server(data, "--weights", "toy") as server:
        body = {"input": {"prompt": "invert", "input_image": PICTURE}}
        headers = {"prefer": "wait"}
        made = httpx2.post(server.url + CREATE, json=body, headers=headers, timeout=60).json()
        assert made["status"] == "succeeded", made
        picture = httpx2.get(made["output"]).content
        backed_up = retouch("backup", str(to), "--data", str(data))
        origin = server.url

    assert backed_up.returncode == 0, backed_up.stderr
    assert f"retouch serve --data {to}" in backed_up.stdout
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in (to, *to.rglob("*")))
    with running_server(to, "--weights", "toy") as restored:
        again = httpx2.get(f"{restored.url}/v1/predictions/{made['id']}").json()
        same = httpx2.get(made["output"].replace(origin, restored.url))
        more = httpx2.post(restored.url + CREATE, json=body, headers=headers, timeout=60).json()

    assert (again["status"], again["input"]["prompt"]) == ("succeeded", "invert")
    assert (same.status_code, same.content) == (200, picture)
    assert more["status"] == "succeeded"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "exists already; name a new folder"),
        (["--database", "postgresql://u@nowhere/d"], "use pg_dump for PostgreSQL"),
    ],
)
def test_a_backup_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, flags: list[str], sentence: str
) -> None:
    to = tmp_path / "copy"
    if not flags:
        to.mkdir()

    refused = retouch("backup", str(to), "--data", str(tmp_path / "data"), *flags)

    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert list(tmp_path.glob(".copy*")) == []
