"""The accelerator's benchmark goes its whole way on a machine without one."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

from bench import engine_gpu


@pytest.mark.filterwarnings("ignore")  # what torch says of its own compiler
def test_the_dry_run_fills_every_table(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["engine_gpu.py", "--quick", "--device", "cpu"])

    engine_gpu.main()

    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["dry_run"] is True
    assert [row["step"] for row in figures["rows"]] == [
        "1024+1024", "1024+512", "512+512", "256+256", "1024+1024+1024",
    ]  # fmt: skip
    for row in figures["rows"]:
        assert row["tflop"] > 0
        assert row["ms"].keys() == {"ours", "ours_compiled", "diffusers", "diffusers_compiled"}
    assert [point["requests"] for point in figures["curve"]] == [1, 2]
    assert figures["packed_against_alone_max_abs"] == 0.0
