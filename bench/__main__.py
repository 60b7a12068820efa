"""Every benchmark, one after another, and one table of what came of it.

    python bench [NAME ...] [--full] [--out build/bench]

Each script beside this one runs in a process of its own, in its quick form unless told otherwise.
The JSON object on its last line goes into `OUT.jsonl`; the aims it names, with the figures that
were to reach them, go into the table, `OUT.md`, with the machine named. An aim is for the full form
on a machine that does nothing else, so only a script that breaks makes this command fail.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared.aims import verdict

HERE = Path(__file__).parent
LAST_WORDS = 300
"""Characters of a broken script's last words that are worth showing."""

QUIET = {"TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}
"""Keeps the libraries' progress bars and advice out of what a script prints."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one script: its figures, or its last words."""

    bench: str
    seconds: float
    status: int
    figures: Mapping[str, Any]
    said: str


def ran(script: Path, flags: Sequence[str]) -> Ran:
    """Run a script, showing what it prints."""
    print(f"== {script.stem}", flush=True)
    started = time.monotonic()
    command = [sys.executable, str(script), *flags]
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603  a file of this folder
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **QUIET},
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    seconds = round(time.monotonic() - started, 1)
    try:
        figures = json.loads(lines[-1])
    except (IndexError, ValueError):
        figures = {}
    said = "".join(lines)[-LAST_WORDS:]
    # A script that measured and missed its own limit says so by its status; it did not break.
    return Ran(script.stem, seconds, 0 if figures else process.returncode or 1, figures, said)


def table(results: Sequence[Ran]) -> str:
    """Markdown: a row for each figure with an aim, or for a script without any."""
    lines = ["| bench | figure | value | aim | |", "|---|---|---|---|---|"]
    for result in results:
        rows = [
            f"| {result.bench} | {row['name']} | {shown(row['figure'])} | {row['limit']} "
            f"| {verdict(row)} |"
            for row in result.figures.get("aims", ())
        ]
        came_to = f"broke with status {result.status}" if result.status else "ran"
        lines += rows or [f"| {result.bench} | seconds | {result.seconds:g} | | {came_to} |"]
    return "\n".join(lines)


def shown(figure: float | None) -> str:
    """A figure of an aim as the table has it."""
    return "" if figure is None else f"{figure:.4g}"


def machine() -> str:
    """In words, for the head of the table."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return f"{os.cpu_count()} cores of {model}, load {os.getloadavg()[0]:.1f} at the start"


def main() -> int:
    """Run them, write both files, print the table."""
    names = sorted(path.stem for path in HERE.glob("[!_]*.py"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", nargs="*", help=f"only these, of {', '.join(names)}")
    parser.add_argument("--full", action="store_true", help="not in the quick form: hours")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    if unknown := sorted({*options.bench} - {*names}):
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    form = "full" if options.full else "quick"
    head = f"{form} form, {time.strftime('%Y-%m-%d', time.gmtime())}, {machine()}"
    flags = () if options.full else ("--quick",)
    results = [ran(HERE / f"{name}.py", flags) for name in options.bench or names]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".jsonl").write_text(
        "".join(json.dumps(asdict(result)) + "\n" for result in results)
    )
    page = f"{head}\n\n{table(results)}\n"
    options.out.with_suffix(".md").write_text(page)
    print(f"\n{page}")
    return int(any(result.status for result in results))


if __name__ == "__main__":
    sys.exit(main())
