"""One edit on the processor: ours beside diffusers' own pipeline, on the same weights.

    python bench/engine_cpu.py [--quick] [--threads 1] [--case-seconds 60]

Whole edits (text, reference, steps, decoding) by `FluxKontextPipeline` and by the family, taking
turns in one process: a random Kontext of 71 M parameters and the bundled nano, one square
reference, in bfloat16 and float32. `again` is ours for the second request with the same prompt and
photo. Seconds are CPU time of the process, which neighbours disturb least; ratios are medians of
their time over ours, in CPU time and in wall time. Few steps stand for many: they are alike. Only
its opening tells a second request from the first, a few per cent of the whole, less than a machine
varies between two edits; `saves` is what that takes less, as a share of a first request.

Each of the eight rows takes turns until its seconds are over, at least once and at most nine times.
A turn is long only where diffusers multiplies emulated bfloat16 at 512 pixels; the whole takes less
than 15 minutes. `peak` is the most memory the process ever held, so far.
"""

import argparse
import logging
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import FluxKontextPipeline
from PIL import Image
from shared.aims import Aim, tell

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.families import load_family
from retouch.engine.families.attention import fastest
from retouch.engine.families.flux1 import Flux1Family
from retouch.engine.families.source import folder_of, source_of
from retouch.engine.families.tiny import write_checkpoint
from retouch.engine.families.wide import pays

SIDES = (256, 512)
DTYPES = ("bfloat16", "float32")
MOST_TURNS = 9
AIMS = (
    Aim("*_256_bfloat16_ratio", ">=", 1.5),
    Aim("*_512_bfloat16_ratio", ">=", 1.9),
    Aim("*_bfloat16_again_saves", ">=", 0.001),
)


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of one edit."""

    cpu: float
    wall: float
    opening: float = 0.0  # of ours, CPU seconds before the first step


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured in one row of the table."""

    weights: str
    folder: Path
    dtype: str
    side: int
    steps: int
    seconds: float  # of wall time after which no further turn begins; 0 is one turn


def main() -> None:
    """Print the table, then the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one size, one step, under a minute")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--case-seconds", type=float, default=60.0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for library in ("diffusers", "transformers"):  # they report what is missing
        logging.getLogger(library).setLevel(logging.ERROR)
    started = time.perf_counter()
    figures: dict[str, Any] = {
        "quick": options.quick,
        "threads": options.threads,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "bfloat16_attention": fastest(torch.bfloat16).__name__,
        "bfloat16_products_in_float32": pays(torch.bfloat16),
    }
    print(f"{'weights':<8} {'precision':<9} {'pixels':>6} {'diffusers':>10} {'ours':>9} "
          f"{'again':>9} {'ratio':>7} {'wall':>7} {'saves':>7} {'turns':>5} {'peak':>8} "
          f"{'elapsed':>8}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        seconds = 0.0 if options.quick else options.case_seconds
        for case in cases(Path(folder), seconds, quick=options.quick):
            report(figures, case, measured(case), time.perf_counter() - started)
    figures["peak_mib"] = round(peak_mib())
    figures["seconds"] = round(time.perf_counter() - started, 1)
    tell(figures, AIMS)


def cases(folder: Path, seconds: float, *, quick: bool) -> Iterator[Case]:
    """Every row."""
    recipe = {"name": "random", "max_sequence_length": 512}
    random_kontext = write_checkpoint(
        folder, recipe=recipe, double_blocks=4, single_blocks=8, heads=4, head_dim=128,
        vae_widths=(8, 8, 16, 16), text_width=512,
    )  # fmt: skip
    nano = folder_of(source_of("nano"))
    for dtype in DTYPES:
        for side in SIDES[:1] if quick else SIDES:
            steps = 1 if quick or side > SIDES[0] else 2
            yield Case("random", random_kontext, dtype, side, steps, seconds)
            yield Case("nano", nano, dtype, side, 2, seconds)


def measured(case: Case) -> dict[str, list[Taken]]:
    """Times of diffusers, ours, and ours again, taking turns."""
    family = cast("Flux1Family", load_family(case.folder, dtype=case.dtype))
    family.recipe = replace(family.recipe, area=case.side**2)
    pipeline = FluxKontextPipeline.from_pretrained(case.folder, dtype=getattr(torch, case.dtype))
    pipeline.set_progress_bar_config(disable=True)
    times: dict[str, list[Taken]] = {"diffusers": [], "ours": [], "again": []}
    theirs(pipeline, family, "warm", noise(64, 0), replace(case, side=64, steps=1))
    ours(family, "warm", noise(64, 0), replace(case, side=64, steps=1))
    ends_at = time.perf_counter() + case.seconds
    for number in range(MOST_TURNS):
        if number and time.perf_counter() > ends_at:
            break
        prompt, photo = f"make it {number} times as red", noise(case.side, number)
        times["diffusers"].append(theirs(pipeline, family, prompt, photo, case))
        times["ours"].append(ours(family, prompt, photo, case))
        times["again"].append(ours(family, prompt, photo, case))
    return times


def ours(family: Flux1Family, prompt: str, photo: Picture, case: Case) -> Taken:
    """One edit by our family."""
    size = Size(case.side, case.side)
    edit = Edit(prompt=prompt, seed=1, size=size, steps=case.steps)
    cpu, wall = time.process_time(), time.perf_counter()
    session = family.open(family.plan(edit, [Size(photo.width, photo.height)], 1), edit, [photo])
    opened = time.process_time()
    for _ in range(case.steps):
        family.step([session])
    family.close(session)
    return Taken(time.process_time() - cpu, time.perf_counter() - wall, opened - cpu)


def theirs(pipeline: Any, family: Flux1Family, prompt: str, photo: Picture, case: Case) -> Taken:
    """The same edit by diffusers' pipeline."""
    cpu, wall = time.process_time(), time.perf_counter()
    pipeline(
        prompt=prompt,
        image=Image.frombytes("RGB", (photo.width, photo.height), photo.data),
        height=case.side,
        width=case.side,
        max_area=case.side**2,
        num_inference_steps=case.steps,
        guidance_scale=family.recipe.guidance or 1.0,
        max_sequence_length=family.recipe.max_sequence_length,
        generator=torch.Generator("cpu").manual_seed(1),
        _auto_resize=False,
    )
    return Taken(time.process_time() - cpu, time.perf_counter() - wall)


def peak_mib() -> float:
    """The most memory this process ever held."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def report(
    figures: dict[str, Any], case: Case, times: dict[str, list[Taken]], elapsed_s: float
) -> None:
    """A line of the table and its figures."""
    cpu = {who: statistics.median(each.cpu for each in taken) for who, taken in times.items()}
    ratio, wall = (
        statistics.median(
            getattr(them, unit) / getattr(us, unit)
            for them, us in zip(times["diffusers"], times["ours"], strict=True)
        )
        for unit in ("cpu", "wall")
    )
    first, again = (statistics.median(it.opening for it in times[who]) for who in ("ours", "again"))
    saves = (first - again) / cpu["ours"]
    print(f"{case.weights:<8} {case.dtype:<9} {case.side:>6} {cpu['diffusers']:>9.3f}s "
          f"{cpu['ours']:>8.3f}s {cpu['again']:>8.3f}s {ratio:>6.2f}x {wall:>6.2f}x "
          f"{saves:>7.2%} {len(times['ours']):>5} {peak_mib():>5.0f}MiB {elapsed_s:>7.0f}s",
          flush=True)  # fmt: skip
    key = f"{case.weights}_{case.side}_{case.dtype}"
    figures[f"{key}_ratio"] = round(ratio, 2)
    figures[f"{key}_wall_ratio"] = round(wall, 2)
    figures[f"{key}_again_saves"] = round(saves, 4)
    for who, seconds in cpu.items():
        figures[f"{key}_{who}_cpu_s"] = round(seconds, 4)


def noise(side: int, seed: int) -> Picture:
    """A square picture of random pixels."""
    return Picture(side, side, random.Random(seed).randbytes(side * side * 3))  # noqa: S311  no secret


if __name__ == "__main__":
    main()
