"""The servers the gateway is measured beside: what each is, how it is installed and started."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BENCH = Path(__file__).parents[1]
HOMES = BENCH.parent / "build" / "peers"
"""Where each has an environment of its own."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server and the request it is measured by. `{port}` in the command is its port."""

    name: str
    packages: tuple[str, ...]
    command: tuple[str, ...]
    health: str
    path: str
    body: str
    environ: Mapping[str, str] = field(default_factory=dict)
    says: str = ""  # what its health address says once it is ready, if it answers before

    @property
    def home(self) -> Path:
        """Its environment."""
        return HOMES / self.name.lower()


PEERS = (
    Contestant(
        "BentoML",
        ("bentoml==1.4.39",),
        ("bin/bentoml", "serve", "bentoml_echo:Echo", "--host", "127.0.0.1", "--port", "{port}"),
        "/readyz",
        "/edit/submit",
        '{"prompt": "make it night @@"}',
        {"BENTOML_DO_NOT_TRACK": "true"},
    ),
    Contestant(
        "LitServe",
        ("litserve==0.2.19",),
        ("bin/python", "litserve_echo.py", "{port}"),
        "/health",
        "/predict",
        '{"prompt": "make it night @@"}',
    ),
    Contestant(
        "Cog",
        ("cog==0.23.1",),
        ("bin/python", "-m", "cog.server.http", "--host", "127.0.0.1"),
        "/health-check",
        "/predictions",
        '{"input": {"prompt": "make it night @@"}}',
        {"PORT": "{port}", "COG_PREDICT_TYPE_STUB": "cog_echo.py:Predictor"},
        says='"READY"',
    ),
    Contestant(
        "LiteLLM",
        ("litellm[proxy]==1.106.2",),
        ("bin/litellm", "--config", "litellm.yaml", "--host", "127.0.0.1", "--port", "{port}"),
        "/health/liveliness",
        "/chat/completions",
        '{"model": "echo", "messages": [{"role": "user", "content": "make it night @@"}]}',
        {
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            # Without a key, as ours.
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        },
    ),
)


def missing(contestant: Contestant) -> str:
    """Why a peer cannot be run; empty once its environment is made, which this does."""
    home = contestant.home
    done = home / ".ready"
    if done.is_file() and done.read_text() == " ".join(contestant.packages):
        return ""
    print(f"Installing {contestant.name} ...", flush=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", *contestant.packages]
    for command in ([sys.executable, "-m", "venv", str(home)], pip):
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  pip
        if ended.returncode:
            return (ended.stderr.strip().splitlines() or ["it cannot be installed"])[-1][:200]
    done.write_text(" ".join(contestant.packages))
    return ""
