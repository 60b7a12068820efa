"""`make bench`: each script's figures beside its aims, and a broken script said to be broken."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from shared.aims import Aim, judged, tell

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
        "print(json.dumps({'lost': 1, 'aims': [\n"
        "    {'name': 'lost', 'figure': 1, 'limit': '<= 0', 'met': False},\n"
        "    {'name': 'again_s', 'figure': 2.5, 'limit': '<= 3', 'met': True},\n"
        "    {'name': 'stuck', 'figure': None, 'limit': '<= 0', 'met': None},\n"
        "]}))\n"
        "raise SystemExit(1)\n",
    )
    result = BENCH.ran(crash, ["--quick"])

    assert (result.bench, result.status) == ("crash", 0)  # it missed a limit: it did not break
    assert "killed --quick" in result.said
    rows = BENCH.table([result]).splitlines()[2:]
    assert rows == [
        "| crash | lost | 1 | <= 0 | not met |",
        "| crash | again_s | 2.5 | <= 3 | met |",
        "| crash | stuck |  | <= 0 | not measured |",
    ]


def test_a_script_that_dies_is_broken_and_its_last_words_are_kept(tmp_path):
    fast = script(tmp_path, "fast", "raise ValueError('no such weights')\n")
    result = BENCH.ran(fast, [])
    assert result.status == 1
    assert "no such weights" in result.said
    assert "| broke with status 1 |" in BENCH.table([result])


def test_a_script_without_aims_has_a_row(tmp_path):
    fast = script(tmp_path, "fast", 'print(\'{"weights": "nano"}\')\n')
    assert "| ran |" in BENCH.table([BENCH.ran(fast, [])])


def test_an_aim_covers_every_figure_of_its_pattern():
    figures = {"violations": {"lost": [], "doubled": ["a"]}, "lost": 3}
    assert judged(figures, [Aim("violations.*", "<=", 0)]) == [
        {"name": "violations.lost", "figure": 0, "limit": "<= 0", "met": True},
        {"name": "violations.doubled", "figure": 1, "limit": "<= 0", "met": False},
    ]


@pytest.mark.parametrize(
    ("figures", "met"), [({"per_s": 2000}, True), ({"per_s": 1999}, False), ({}, None)]
)
def test_the_last_line_has_the_figures_and_how_they_stand_to_their_aims(figures, met, capsys):
    assert tell(figures, [Aim("per_s", ">=", 2000)]) is (met is not False)
    row = {"name": "per_s", "figure": figures.get("per_s"), "limit": ">= 2000", "met": met}
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {**figures, "aims": [row]}
