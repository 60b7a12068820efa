"""`make bench`: each script's figures beside their aims, and a broken script said to be broken."""

import runpy
from pathlib import Path
from types import SimpleNamespace

BENCH = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "bench" / "__main__.py")))


def script(folder: Path, name: str, text: str) -> Path:
    file = folder / f"{name}.py"
    file.write_text(text)
    return file


def test_a_figure_stands_beside_its_aim(tmp_path):
    crash = script(
        tmp_path,
        "crash",
        "import json, sys\n"
        "print('killed', sys.argv[1])\n"
        "print(json.dumps({'server': {'lost': 0, 'stuck': 1}, 'worker': {'again_s_max': 2.5}}))\n",
    )
    result = BENCH.ran(crash, ["--quick"])

    assert (result.bench, result.status) == ("crash", 0)
    assert "killed --quick" in result.said
    rows = BENCH.table([result]).splitlines()[2:]
    assert rows == [
        "| crash | server.lost | 0 | <= 0 | met |",
        "| crash | server.stuck | 1 | <= 0 | not met |",
        "| crash | worker.again_s_max | 2.5 | <= 3 | met |",
    ]


def test_a_script_that_misses_its_own_limit_has_not_broken(tmp_path):
    growth = script(tmp_path, "growth", "print('{\"claim\": 1.9}')\nraise SystemExit(1)\n")
    result = BENCH.ran(growth, [])
    assert result.status == 0
    assert "| growth | claim | 1.9 | <= 1.5 | not met |" in BENCH.table([result])


def test_a_script_that_dies_is_broken_and_its_last_words_are_kept(tmp_path):
    fast = script(tmp_path, "fast", "raise ValueError('no such weights')\n")
    result = BENCH.ran(fast, [])
    assert result.status == 1
    assert "no such weights" in result.said
    assert "| broke with status 1 |" in BENCH.table([result])


def test_a_script_without_aims_has_a_row(tmp_path):
    fast = script(tmp_path, "fast", 'print(\'{"weights": "nano"}\')\n')
    assert "| ran |" in BENCH.table([BENCH.ran(fast, [])])


def test_an_aim_covers_every_figure_of_its_pattern(tmp_path):
    chaos = script(tmp_path, "chaos", 'print(\'{"violations": {"lost": [], "doubled": ["a"]}}\')\n')
    shown = BENCH.table([BENCH.ran(chaos, [])])
    assert "| chaos | violations.lost | 0 | <= 0 | met |" in shown
    assert "| chaos | violations.doubled | 1 | <= 0 | not met |" in shown


def test_every_aim_is_of_a_script_that_exists():
    folder = Path(__file__).parents[2] / "bench"
    assert {aim.bench for aim in BENCH.AIMS} <= {file.stem for file in folder.glob("[!_]*.py")}
