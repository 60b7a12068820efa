"""Load from wrk, in a process of its own, and what it came to."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")
CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk measured: answers that were good, and their latencies (of all answers)."""

    per_s: float
    refused: int
    broken: int
    p50_ms: float
    p99_ms: float


def wrk(
    url: str,
    seconds: float,
    kind: str,
    file: Path,
    connections: int = CONNECTIONS,
    per_s: int | None = None,
) -> "subprocess.Popen[str]":
    """Load on a URL from a process of its own; as much as is answered, or so many a second."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s"]
    tag = str(time.monotonic_ns())
    pace = [] if per_s is None else [str(per_s)]
    return subprocess.Popen(  # noqa: S603  what is listed above
        [*command, "-s", str(SCRIPT), url, "--", tag, kind, str(file), *pace],
        stdout=subprocess.PIPE,
        text=True,
    )


def measured(process: "subprocess.Popen[str]") -> Load:
    """What a load came to; raises RuntimeError if wrk failed."""
    text, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"wrk failed: {text}")
    found = json.loads(text.strip().splitlines()[-1])
    good = found["requests"] - found["refused"]
    return Load(
        good / found["seconds"],
        found["refused"],
        found["broken"],
        found["p50_ms"],
        found["p99_ms"],
    )
