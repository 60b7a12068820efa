"""No secret is written to a log: every kind is sent through a real server that logs all it can."""

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from retouch.running import running_server

MODEL = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)


def test_a_full_run_logs_no_secret(tmp_path: Path) -> None:
    data = tmp_path / "data"
    key = made_key(data)
    hidden = {
        "key": key,
        "signing secret": secrets.token_hex(16),
        "wrong key": f"rt_abcdefgh_{secrets.token_urlsafe(32)}",
        "webhook secret": f"hook-{secrets.token_hex(12)}",
        "webhook password": f"pass-{secrets.token_hex(12)}",
        "webhook query": f"query-{secrets.token_hex(12)}",
        "picture password": f"pass-{secrets.token_hex(12)}",
        "picture query": f"query-{secrets.token_hex(12)}",
        "idempotency key": f"once-{secrets.token_hex(12)}",
    }
    flags = ("--weights", "toy", "--log-level", "debug", "--log-format", "json")
    own = {"RETOUCH_SECRET": hidden["signing secret"], "RETOUCH_MAX_WRONG_KEYS": "2"}
    environ = {**os.environ, **own}
    with running_server(data, *flags, environ=environ) as server:
        with httpx2.Client(base_url=server.url, timeout=60) as client:
            hidden |= full_run(client, key, hidden)
        log = server.log

    lines = "".join(log)
    assert "http.request" in lines
    assert "prediction.accepted" in lines
    assert "keys.guessed" in lines
    assert {name for name, secret in hidden.items() if secret in lines} == set()
    assert {type(json.loads(line)) for line in log if line.startswith("{")} == {dict}


def made_key(data: Path) -> str:
    command = [sys.executable, "-m", "retouch.cli", "keys", "create", "a", "--json"]
    made = subprocess.run(  # noqa: S603
        [*command, "--data", str(data)], capture_output=True, text=True, check=True
    )
    return str(json.loads(made.stdout)["key"])


def full_run(client: httpx2.Client, key: str, hidden: Mapping[str, str]) -> dict[str, str]:
    """Use every address that takes or gives a secret; the secrets it gave."""
    picture = secrets.token_bytes(3000)
    uri = f"data:image/png;base64,{base64.b64encode(PNG + picture).decode()}"
    mine = {"authorization": f"Bearer {key}"}
    guess = {"x-key": hidden["wrong key"], "x-forwarded-for": "203.0.113.7"}
    guesses = [client.get("/v1/account", headers=guess).status_code for _ in range(3)]
    assert guesses == [401, 401, 429]

    hook = f"https://me:{hidden['webhook password']}@127.0.0.1:9/h?t={hidden['webhook query']}"
    submitted: dict[str, Any] = {"prompt": "invert", "input_image": uri}
    wait = {"prefer": "wait", "idempotency-key": hidden["idempotency key"]}
    made = client.post(
        MODEL, json={"input": submitted, "webhook": hook}, headers={**mine, **wait}
    ).json()
    assert made["status"] == "succeeded", made
    output = made["output"]
    assert client.get(output).status_code == 200
    assert client.get(output.replace("signature=", "signature=x")).status_code == 403
    client.get(made["urls"]["stream"], headers={"accept": "text/event-stream"})
    shared = client.get("/v1/webhooks/default/secret", headers=mine).json()["key"]

    source = (
        f"http://me:{hidden['picture password']}@127.0.0.1:9/cat.png?t={hidden['picture query']}"
    )
    failed = client.post(
        MODEL, json={"input": {"prompt": "x", "input_image": source}}, headers={**mine, **wait}
    )
    assert failed.status_code in (201, 422)
    refused = client.post(
        MODEL,
        json={"input": {"prompt": "x", "input_image": source}},
        headers={**mine, "prefer": "wait"},
    ).json()
    assert refused["status"] == "failed", refused
    body = {
        "prompt": "x",
        "webhook_url": hook,
        "webhook_secret": hidden["webhook secret"],
    }
    bfl = client.post("/v1/flux-kontext-pro", json=body, headers={"x-key": key}).json()
    assert client.get(bfl["polling_url"]).status_code == 200
    upload = client.post("/v1/files", files={"content": ("a.png", PNG, "image/png")}, headers=mine)
    assert upload.status_code == 201
    place = client.post(
        "/api/v3/media/uploads", json={"filename": "a.png", "size": len(PNG)}, headers=mine
    )
    assert place.status_code == 200, place.text
    return {
        "link": parse_qs(urlsplit(output).query)["signature"][0],
        "picture": base64.b64encode(picture).decode()[40:120],
        "stream ticket": made["urls"]["stream"].rpartition("-")[2],
        "poll ticket": parse_qs(urlsplit(bfl["polling_url"]).query)["ticket"][0],
        "receiver's secret": shared.removeprefix("whsec_"),
        "reserved place": _ticket(place.json()),
    }


def _ticket(place: Any) -> str:
    """The longest path part of any address a reservation told: its ticket."""
    texts = [it for it in place["data"].values() if isinstance(it, str)]
    return max((part for text in texts for part in urlsplit(text).path.split("/")), key=len)
