"""docs/howto/add-a-protocol.md, followed to the letter on a copy of the package."""

import base64
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from retouch.running import running_server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "add-a-protocol.md").read_text()
PHOTO = ROOT / "examples" / "photos" / "cat.jpg"


def block(language: str) -> str:
    """The page's only block in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The package with one file and one line more."""
    package = tmp_path / "src" / "retouch"
    shutil.copytree(ROOT / "src" / "retouch", package, ignore=shutil.ignore_patterns("nano"))
    (package / "protocols" / "darkroom.py").write_text(block("python"))
    registry = package / "protocols" / "__init__.py"
    old, new = (line[1:] for line in block("diff").splitlines())
    before = registry.read_text()
    assert before.count(old) == 1
    registry.write_text(before.replace(old, new))
    return tmp_path / "src"


def asked(url: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data), timeout=60) as answer:  # noqa: S310  our own server
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def test_one_file_and_one_line_make_a_sixth_protocol(copied: Path, tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(copied)}
    with running_server(tmp_path / "data", "--weights", "toy", environ=environ) as server:
        photo = "data:image/jpeg;base64," + base64.b64encode(PHOTO.read_bytes()).decode()
        address = f"{server.url}/darkroom/prints"
        status, made = asked(address, {"instruction": "invert", "photo": photo})
        assert (status, made["state"]) == (202, "waiting")

        deadline = time.monotonic() + 60
        while (found := asked(made["look_again"])[1])["state"] in ("waiting", "developing"):
            assert time.monotonic() < deadline, found
        assert found["state"] == "developed", found
        with urlopen(found["photo"], timeout=60) as picture:  # noqa: S310  our own server
            assert picture.read().startswith(b"\x89PNG")

        assert asked(address, {"photo": photo}) == (422, {"trouble": "instruction: is needed"})
        assert asked(f"{address}/unknown")[0] == 404
        assert asked(f"{server.url}/v1/predictions/{made['id']}")[1]["status"] == "succeeded"
        assert "/prints" in asked(f"{server.url}/darkroom/openapi.json")[1]["paths"]
