"""The accelerator's benchmark goes its whole way on a machine without one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

SCRIPT = Path(__file__).parents[3] / "bench" / "engine_gpu.py"


def test_the_dry_run_fills_every_table():
    command = [sys.executable, str(SCRIPT), "--quick", "--device", "cpu"]

    ended = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  ours

    figures = json.loads(ended.stdout.splitlines()[-1])
    assert figures["dry_run"] is True
    assert [row["step"] for row in figures["rows"]] == [
        "1024+1024", "1024+512", "512+512", "256+256", "1024+1024+1024",
    ]  # fmt: skip
    for row in figures["rows"]:
        assert row["tflop"] > 0
        assert row["ms"].keys() == {"ours", "ours_compiled", "diffusers", "diffusers_compiled"}
    assert [point["requests"] for point in figures["curve"]] == [1, 2]
    assert figures["packed_against_alone_max_abs"] == 0.0
