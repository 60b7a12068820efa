"""Every line of docs/clients.md, run with the client it names against the real server."""

import base64
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.clients.test_clients import MATRIX, Client

PAGE = Path(__file__).parents[3] / "docs" / "clients.md"
SECTION = re.compile(r"^## (.+)\n((?:(?!^## ).*\n?)*)", re.MULTILINE)
BLOCK = re.compile(r"^```(\w+) (https?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HTTP, HTTPS = "http://127.0.0.1:8787", "https://retouch.example"

REPLICATE = """
client.run("black-forest-labs/flux-kontext-pro", input={"prompt": "invert", "input_image": URI})
"""
OPENAI = 'client.images.edit(model="gpt-image-1", image=DATA, prompt="invert")'
WAVESPEED = 'client.run("wavespeed-ai/flux-kontext-pro", {"prompt": "invert", "image": URI})'
WAVESPEED_JS = (
    'await client.run("wavespeed-ai/flux-kontext-pro", { prompt: "invert", image: uri });'
)


@dataclass(frozen=True)
class Around:
    """What a user's code has before and after the documented line."""

    before: str
    after: str


AROUND = {
    "PyPI replicate 1.0.7": Around("import replicate", REPLICATE),
    "PyPI replicate 2.0.0b4": Around("import replicate", REPLICATE),
    "npm replicate 1.4.0": Around(
        'const Replicate = require("replicate");',
        """await client.run("black-forest-labs/flux-kontext-pro", {
          input: { prompt: "invert", input_image: uri } });""",
    ),
    "PyPI fal-client 1.0.3": Around(
        "import fal_client",
        'fal_client.subscribe("fal-ai/flux-pro/kontext", {"prompt": "invert", "image_url": URI})',
    ),
    "npm @fal-ai/client 1.10.1": Around(
        'const { fal } = require("@fal-ai/client");',
        """await fal.subscribe("fal-ai/flux-pro/kontext", {
          input: { prompt: "invert", image_url: uri } });""",
    ),
    "PyPI wavespeed 2.0.5": Around("import wavespeed", WAVESPEED),
    "PyPI wavespeed 0.0.5": Around("from wavespeed import WaveSpeed", WAVESPEED),
    "npm wavespeed 0.3.2": Around('const { Client } = require("wavespeed");', WAVESPEED_JS),
    "PyPI blackforest 0.1.3": Around(
        """
from blackforest import BFLClient
from blackforest.types.general.client_config import ClientConfig
""",
        """
fields = {"prompt": "invert", "input_image": PICTURE}
client.generate("flux-kontext-pro", fields, ClientConfig(sync=True, polling_interval=0.2))
""",
    ),
    "npm black-forest-labs 1.0.33": Around(
        """
        const { createBlackForestLabs } = require("@ai-sdk/black-forest-labs");
        const { generateImage } = require("ai");
        """,
        """await generateImage({ model: provider.image("flux-kontext-pro"),
          prompt: { text: "invert", images: [data] }, maxRetries: 0 });""",
    ),
    "npm ai 6.0.326": Around(
        """
        const { generateImage } = require("ai");
        const { createReplicate } = require("@ai-sdk/replicate");
        const { createFal } = require("@ai-sdk/fal");
        const { createOpenAI } = require("@ai-sdk/openai");
        const { createOpenAICompatible } = require("@ai-sdk/openai-compatible");
        """,
        """const models = [
          replicate.image("black-forest-labs/flux-kontext-pro"), openai.image("gpt-image-1"),
          fal.image("fal-ai/flux-pro/kontext"), compatible.imageModel("flux-kontext"),
        ];
        for (const model of models) {
          await generateImage({ model, prompt: { text: "invert", images: [data] }, maxRetries: 0 });
        }""",
    ),
    "PyPI openai 3.52.0": Around("from openai import OpenAI", OPENAI),
    "PyPI openai 1.109.1": Around("from openai import OpenAI", OPENAI),
    "npm openai 6.49.0": Around(
        'const { OpenAI, toFile } = require("openai");',
        """await client.images.edit({ model: "gpt-image-1", prompt: "invert",
          image: await toFile(data, "a.png") });""",
    ),
}
"""By the client's title; the last statement raises unless an edit comes back."""


def documented() -> dict[str, dict[str, tuple[str, str]]]:
    """The language and the line of each scheme, by client."""
    return {
        title: {scheme: (language, line) for language, scheme, line in BLOCK.findall(text)}
        for title, text in SECTION.findall(PAGE.read_text())
        if BLOCK.search(text)
    }


LINES = documented()


def test_the_page_has_both_lines_for_every_client() -> None:
    titles = {client.title for client in MATRIX}

    assert {title: set(lines) for title, lines in LINES.items()} == {
        title: {"http", "https"} for title in titles
    }
    assert set(AROUND) == titles


@pytest.mark.parametrize("client", MATRIX, ids=lambda client: client.title)
def test_the_documented_line_points_the_client_here(
    entrance: Any, picture: Path, tmp_path: Path, client: Client
) -> None:
    if client.missing:
        pytest.skip(client.missing)
    language, line = LINES[client.title][urlsplit(entrance.url).scheme]

    ran = subprocess.run(  # noqa: S603  the page's own lines
        ["/bin/sh", "-c", command(client, language, pointed(line, entrance), tmp_path, picture)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environ(client, entrance),
        check=False,
    )

    assert ran.returncode == 0, ran.stderr


def pointed(line: str, entrance: Any) -> str:
    """The line with this server's address and key in place of the page's."""
    line = line.replace(HTTP, entrance.url).replace(HTTPS, entrance.url)
    return (
        line.replace(urlsplit(HTTPS).netloc, urlsplit(entrance.url).netloc)
        .replace("KEY=KEY", f"KEY={entrance.token}")
        .replace('"KEY"', f'"{entrance.token}"')
    )


def command(client: Client, language: str, line: str, folder: Path, picture: Path) -> str:
    """A shell script that runs the line where a user would have it."""
    around = AROUND[client.title]
    before = line if language == "sh" else ""
    inside = "" if language == "sh" else line
    uri = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    if client.script.endswith(".cjs"):
        script = folder / "script.cjs"
        data = f'const data = require("node:fs").readFileSync("{picture}");'
        body = (
            f'const uri = "{uri}";\n{around.before}\n(async () => {{{inside}\n{around.after}}})();'
        )
        script.write_text(f"{data}\n{body}")
        return f"{before}exec node {script}"
    script = folder / "script.py"
    data = f'PICTURE, URI = "{picture}", "{uri}"\nDATA = open(PICTURE, "rb").read()'
    script.write_text(f"{around.before}\n{data}\n{inside}\n{around.after}")
    return f"{before}exec {sys.executable} {script}"


def environ(client: Client, entrance: Any) -> dict[str, str]:
    """Where the client's package is, its key, and whom it trusts."""
    where = "NODE_PATH" if client.script.endswith(".cjs") else "PYTHONPATH"
    own = {where: str(client.needs)} if client.needs else {}
    bundle = entrance.environ.get("SSL_CERT_FILE")
    trusted = {**entrance.environ, **({"REQUESTS_CA_BUNDLE": bundle} if bundle else {})}
    return {**os.environ, "FAL_KEY": entrance.token, **own, **trusted}
