"""The accelerator's benchmark goes its whole way on a machine without one."""

import json
import math
from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

import torch

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
        assert set(row["apart"].values()) == {0.0}
    assert figures["failed"] == {}
    assert [point["requests"] for point in figures["curve"]] == [1, 2]
    assert figures["packed_against_alone_max_abs"] == 0.0


def made() -> engine_gpu.Made:
    return engine_gpu.Made(None, torch.zeros(4, 8), {}, 4)


def scale(repeats: int = 3) -> engine_gpu.Scale:
    return replace(engine_gpu.Scale.dry(torch.device("cpu")), repeats=repeats)


def test_a_way_that_fails_is_told_and_costs_no_other(capsys):
    trouble, asked = engine_gpu.Trouble(torch.device("cpu"), math.inf), []

    def breaks_later(it):
        asked.append(it)
        if len(asked) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried much")
        return torch.ones(4, 8)

    def never(it):
        raise RuntimeError("no such kernel")

    ways = {
        "ours": lambda it: torch.full((4, 8), 0.5),
        "ours_compiled": breaks_later,
        "ours_graphs": never,
        "diffusers": lambda it: torch.ones(4, 8),
    }
    taken, apart = engine_gpu.compared(scale(), "1+1", ways, made(), trouble)

    assert taken.keys() == {"ours", "diffusers"}
    assert apart == {"ours": 0.5, "ours_compiled": 0.0, "diffusers": 0.0}
    assert trouble.failed == {
        "1+1 ours_graphs": "RuntimeError: no such kernel",
        "1+1 ours_compiled": "OutOfMemoryError: CUDA out of memory.",
    }
    assert "1+1 ours_graphs failed" in capsys.readouterr().out
    assert engine_gpu.ahead(taken) is None


def test_nothing_is_asked_of_a_lost_device_nor_after_the_time_is_up():
    def lose(it):
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    lost = engine_gpu.Trouble(torch.device("cpu"), math.inf)
    ways = {"ours": lose, "diffusers": lambda it: pytest.fail("asked again")}
    assert engine_gpu.compared(scale(), "1", ways, made(), lost) == ({}, {})
    assert lost.failed["1 diffusers"] == "RuntimeError: the device was lost before"

    late = engine_gpu.Trouble(torch.device("cpu"), -math.inf)
    ways = {"ours": lambda it: pytest.fail("asked late")}
    assert engine_gpu.compared(scale(), "1", ways, made(), late) == ({}, {})
    assert late.failed == {"1 ours": "TimeoutError: there was no time left"}


def test_figures_without_a_number_are_none():
    assert [engine_gpu.finite(each) for each in (None, math.nan, 0.12345)] == [None, None, 0.123]
