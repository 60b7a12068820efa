"""The official clients, unmodified, against the real server: every operation of every client.

Each client runs in a process of its own and prints one line per operation. A client that is not
installed (`make clients`) is skipped, and says so.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

HERE = Path(__file__).parent
CLIENTS = HERE.parents[2] / "build" / "clients"
TIMEOUT_S = 300
AT_ONCE = 2  # they mostly wait
Said = dict[str, str | None]
"""Each operation's error, None for a success."""

BASICS = (
    "run", "run_by_version", "create_poll_fetch", "upload", "file_objects", "data_uri",
    "wait_expiry", "cancel", "failed", "two_pages", "refusals", "base_urls",
)  # fmt: skip
BFL = ("run", "submit_and_poll", "text_to_image", "four_pictures", "refusals")
BFL_JS = (
    "run", "text_to_image", "every_model", "several_pictures", "options", "webhook",
    "failed", "refusals", "base_urls",
)  # fmt: skip
AI_JS = (
    "replicate_edit", "replicate_own_field", "replicate_text_to_image", "replicate_refusals",
    "fal_edit", "fal_options", "fal_several_pictures", "fal_text_to_image", "fal_refusals",
    "openai_edit", "openai_options", "openai_text_to_image", "openai_refusals", "compatible_edit",
    "compatible_text_to_image",
)  # fmt: skip
OPENAI = (
    "edit", "several_pictures", "generate", "by_url", "json_body", "models", "refusals", "failed",
    "base_urls", "stream", "stream_failed",
)  # fmt: skip
OPENAI_PY = (*OPENAI, "every_field", "masked", "files", "file_by_id")
WAVESPEED = (
    "run", "sync_mode", "slow_picture", "several_pictures", "upload", "failed", "refusals",
    "base_urls",
)  # fmt: skip


@dataclass(frozen=True)
class Client:
    """One official client: how its driver is started, and what must be there for it."""

    title: str
    script: str
    operations: tuple[str, ...]
    needs: Path | None = None
    package: str = "replicate"

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
        if self.needs is not None and not (self.needs / self.package).is_dir():
            return f"{self.title} is not installed; run make clients"
        return ""


MATRIX = (
    Client("PyPI replicate 1.0.7", "replicate_py1.py", (*BASICS, "stream", "webhook")),
    Client("PyPI replicate 2.0.0b4", "replicate_py2.py", (*BASICS, "use"), CLIENTS / "replicate2"),
    Client(
        "npm replicate 1.4.0",
        "replicate_js.cjs",
        (*BASICS, "run_polling", "stream", "webhook", "progress_and_search", "broken_connection"),
        CLIENTS / "node" / "node_modules",
    ),
    Client("PyPI blackforest 0.1.3", "bfl_py.py", BFL, CLIENTS / "blackforest", "blackforest"),
    Client(
        "npm black-forest-labs 1.0.33",
        "bfl_js.cjs",
        BFL_JS,
        CLIENTS / "node-ai" / "node_modules",
        "@ai-sdk/black-forest-labs",
    ),
    Client(
        "npm ai 6.0.326",
        "ai_js.cjs",
        AI_JS,
        CLIENTS / "node-ai" / "node_modules",
        "@ai-sdk/openai-compatible",
    ),
    Client("PyPI openai 3.52.0", "openai_py.py", OPENAI_PY, CLIENTS / "openai3", "openai"),
    Client("PyPI openai 1.109.1", "openai_py.py", OPENAI_PY, CLIENTS / "openai1", "openai"),
    Client(
        "npm openai 6.49.0", "openai_js.cjs", OPENAI, CLIENTS / "node-openai/node_modules", "openai"
    ),
    Client(
        "PyPI wavespeed 2.0.5",
        "wavespeed_py2.py",
        (*WAVESPEED, "base64_output", "module_run", "upload_stream", "webhook"),
        CLIENTS / "wavespeed2",
        "wavespeed",
    ),
    Client(
        "PyPI wavespeed 0.0.5",
        "wavespeed_py0.py",
        ("run", "run_async", "create_and_wait", "failed", "refusals", "base_urls"),
        CLIENTS / "wavespeed0",
        "wavespeed",
    ),
    Client(
        "npm wavespeed 0.3.2",
        "wavespeed_js.cjs",
        (*WAVESPEED, "webhook"),
        CLIENTS / "node-wavespeed" / "node_modules",
        "wavespeed",
    ),
)


FAL_PY = (
    "run", "run_async", "submit_poll_fetch", "subscribe", "subscribe_async", "upload",
    "upload_file", "upload_in_parts", "data_uri", "inpaint", "sync_mode", "stream", "cancel",
    "webhook", "failed", "refusals",
)  # fmt: skip
FAL_JS = (
    "run", "subscribe", "subscribe_streaming", "submit_poll_fetch", "upload", "file_objects",
    "upload_in_parts", "sync_mode", "stream", "proxy", "cancel", "webhook", "failed", "refusals",
)  # fmt: skip
MATRIX += (
    Client("PyPI fal-client 1.0.3", "fal_py.py", FAL_PY, CLIENTS / "fal", "fal_client"),
    Client(
        "npm @fal-ai/client 1.10.1",
        "fal_js.cjs",
        FAL_JS,
        CLIENTS / "node-fal" / "node_modules",
        "@fal-ai/client",
    ),
)


@pytest.fixture(scope="module")
def results(entrance: Any, picture: Path, slow: str) -> Iterator[dict[str, Said]]:
    """What each client said of each operation; printed as a matrix at the end."""
    there = [client for client in MATRIX if not client.missing]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        outcomes = threads.map(lambda it: outcome(it, entrance, str(picture), slow), there)
        said = {client.title: found for client, found in zip(there, outcomes, strict=True)}
    yield said
    print_matrix(entrance.url, said)


@pytest.mark.parametrize(
    ("client", "operation"),
    [
        pytest.param(client, operation, id=f"{client.title}: {operation}")
        for client in MATRIX
        for operation in client.operations
    ],
)
def test_an_official_client_works_unmodified(
    results: dict[str, Said], client: Client, operation: str
) -> None:
    if client.missing:
        pytest.skip(client.missing)

    assert results[client.title].get(operation, "the driver ended before it") is None


def outcome(client: Client, entrance: Any, *arguments: str) -> Said:
    """Run a driver; each operation's error, None for a success."""
    path = {"PYTHONPATH": str(client.needs)} if client.needs else {}
    ran = subprocess.run(  # noqa: S603  our own drivers
        client.command(entrance.url, entrance.token, *arguments),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **path, **entrance.environ},
        check=False,
    )
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    if not lines:
        return {"driver": ran.stderr}
    return {line["operation"]: line["error"] for line in lines}


def print_matrix(url: str, said: dict[str, Said]) -> None:
    passed = total = 0
    print(f"\n\nover {urlsplit(url).scheme}")
    for client in MATRIX:
        if client.missing:
            print(f"{client.title:<28} skipped: {client.missing}")
            continue
        outcomes = [said[client.title].get(name, "missing") is None for name in client.operations]
        passed, total = passed + sum(outcomes), total + len(outcomes)
        broken = [n for n, fine in zip(client.operations, outcomes, strict=True) if not fine]
        print(f"{client.title:<28} {sum(outcomes):>2} of {len(outcomes)}", *broken)
    print(f"{'all clients':<28} {passed:>2} of {total}")
