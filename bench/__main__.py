"""Every benchmark, one after another, and one table of what came of it.

    python bench [NAME ...] [--full] [--out build/bench]

Each script beside this one runs in a process of its own, in its quick form unless told otherwise.
The JSON object on its last line goes into `OUT.jsonl`; the figures that an aim is set for go into
the table, `OUT.md`, with the machine named. An aim is for the full form on a machine that does
nothing else, so only a script that breaks makes this command fail.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LAST_WORDS = 300
"""Characters of a broken script's last words that are worth showing."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What figures of one name should reach; `figure` is a dotted path and may hold wildcards."""

    bench: str
    figure: str
    sign: str  # ">=" or "<="
    limit: float

    def is_met(self, value: float) -> bool:
        """Whether this value reaches it."""
        return value >= self.limit if self.sign == ">=" else value <= self.limit


AIMS = (
    Aim("api_fuzz", "protocols.*.failures", "<=", 0),
    Aim("chaos", "violations.*", "<=", 0),
    Aim("crash", "server.lost", "<=", 0),
    Aim("crash", "server.stuck", "<=", 0),
    Aim("crash", "server.ended_twice", "<=", 0),
    Aim("crash", "worker.ended_twice", "<=", 0),
    Aim("crash", "worker.again_s_max", "<=", 3),
    Aim("engine_cpu", "*_256_bfloat16_ratio", ">=", 1.5),
    Aim("engine_cpu", "*_512_bfloat16_ratio", ">=", 1.9),
    Aim("followers", "with_mb", "<=", 300),
    Aim("footprint", "help_s", "<=", 0.3),
    Aim("footprint", "web_ready_s", "<=", 2),
    Aim("footprint", "web_resident_mb", "<=", 120),
    Aim("footprint", "worker_peak_mb", "<=", 1500),
    Aim("footprint", "edit_s_median", "<=", 2),
    Aim("fuzz", "failures", "<=", 0),
    Aim("fuzz", "request_failures", "<=", 0),
    Aim("gateway", "creates_per_s", ">=", 2000),
    Aim("gateway", "create_p99_ms", "<=", 60),
    Aim("gateway", "times_bentoml", ">=", 5),
    Aim("gateway", "times_litellm", ">=", 10),
    Aim("gateway", "reads_per_s", ">=", 3000),
    Aim("gateway", "image_creates_per_s", ">=", 300),
    *(Aim("growth", f"*{verb}", "<=", 1.5) for verb in ("create", "status", "list", "claim")),
    Aim("memory", "drift", "<=", 0.05),
    Aim("parity", "*_float32_against_pipeline_max_abs", "<=", 1e-5),
    Aim("parity", "*_bfloat16_against_alone_max_abs", "<=", 0),
    Aim("quant", "*.*_bfloat16.alone_max_abs", "<=", 0),
    *(
        Aim(bench, figure, "<=", limit)
        for bench in ("serving", "serving_sim")
        for figure, limit in (
            ("mean_against_fifo", 0.75),
            ("mean_against_threads", 0.45),
            ("small_mean_against_fifo", 0.3),
            ("large_p95_against_fifo", 1.25),
        )
    ),
)


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
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
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


def leaves(tree: object, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a JSON value with its dotted path; a list counts as its length."""
    match tree:
        case Mapping():
            for name, value in tree.items():
                yield from leaves(value, f"{path}.{name}" if path else name)
        case list():
            yield path, len(tree)
        case int() | float():
            yield path, float(tree)


def table(results: Sequence[Ran]) -> str:
    """Markdown: a row for each figure with an aim, or for a script without any."""
    lines = ["| bench | figure | value | aim | |", "|---|---|---|---|---|"]
    for result in results:
        rows = [
            f"| {result.bench} | {path} | {value:.4g} | {aim.sign} {aim.limit:g} "
            f"| {'met' if aim.is_met(value) else 'not met'} |"
            for aim in AIMS
            if aim.bench == result.bench
            for path, value in leaves(result.figures)
            if fnmatch(path, aim.figure)
        ]
        came_to = f"broke with status {result.status}" if result.status else "ran"
        lines += rows or [f"| {result.bench} | seconds | {result.seconds:g} | | {came_to} |"]
    return "\n".join(lines)


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
    shown = f"{head}\n\n{table(results)}\n"
    options.out.with_suffix(".md").write_text(shown)
    print(f"\n{shown}")
    return int(any(result.status for result in results))


if __name__ == "__main__":
    sys.exit(main())
