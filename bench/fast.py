"""What `fast` costs and saves: the same edits exact and fast.

    python bench/fast.py [--quick]

Each row is a set of edits and what of `fast` is on: `reuse`, steps cut short by the last whole one,
with its tolerance; `regions`, steps that leave out the places an edit leaves alone, with their
likeness. It says how far the fast pictures are from the exact ones (PSNR and the largest
difference, of 255), the share of steps that were cut short, the share of all steps' image rows
that regions left out, and the CPU time of the fast edits' steps as a part of the exact ones', taken
in turns.

nano's edits change the whole picture (`nano`), except where the picture lets them (`local`: the
colours of a grey photo with one coloured disc, and a mirrored half). nano's own recipe has so few
steps that `fast` finds nothing; the 28 of FLUX.1 are where it does. `random` weights make noise: no
place looks like the reference, so they show what regions do where nothing is left alone. `flux2`
are such weights of FLUX.2's base kind at its 50 steps of two passes each. They answer every noise
level unlike the one before, so only a tolerance far above the default finds anything, and only a
likeness far below it leaves places alone: those rows are what the shortcuts do there, for FLUX.1
and FLUX.2 alike, not what real pictures lose by them.
"""

import argparse
import json
import logging
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.families import FAST_LIKENESS, FAST_TOLERANCE, load_family
from retouch.engine.families.flux import FluxFamily
from retouch.engine.families.tiny import write_checkpoint
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint

SIDE = 128
LOCAL = ("make it black and white", "swap the red and blue channels", "make it symmetric")
RANDOM = ("make it red", "a hat", "at night")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    edits: str  # which set
    steps: int
    tolerance: float = FAST_TOLERANCE
    likeness: float = FAST_LIKENESS


ROWS = (
    Row("nano", 2),
    Row("nano", 8),
    Row("nano", 28, FAST_TOLERANCE / 2, 0),
    Row("nano", 28, likeness=0),
    Row("nano", 28, 2 * FAST_TOLERANCE, 0),
    Row("nano", 28, tolerance=0),
    Row("nano", 28),
    Row("local", 8),
    Row("local", 28, tolerance=0),
    Row("local", 28),
    Row("local", 28, tolerance=0, likeness=0.98),
    Row("random", 28, tolerance=0),
    Row("random", 28, tolerance=0, likeness=-0.2),
    Row("flux2", 50, likeness=0),
    Row("flux2", 50, 8 * FAST_TOLERANCE, 0),
    Row("flux2", 50, tolerance=0),
    Row("flux2", 50, tolerance=0, likeness=-0.2),
)
QUICK = (
    Row("nano", 2),
    Row("nano", 28, likeness=0),
    Row("nano", 28),
    Row("local", 28, tolerance=0),
    Row("flux2", 50, 8 * FAST_TOLERANCE),
)


def main() -> None:
    """Print the table, then the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows and edits")
    parser.add_argument("--side", type=int, default=SIDE, help="of the pictures, in pixels")
    options = parser.parse_args()
    for library in ("diffusers", "transformers"):  # they report what is missing
        logging.getLogger(library).setLevel(logging.ERROR)
    started = time.perf_counter()
    figures: dict[str, Any] = {"side": options.side}
    print(f"{'weights':<7} {'steps':>5} {'reuse':>6} {'regions':>7} {'edits':>5} {'PSNR':>9} "
          f"{'max':>4} {'cut short':>9} {'left out':>8} {'time':>6}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for each in QUICK if options.quick else ROWS:
            values = measured(each, Path(folder), options.side, 2 if options.quick else 6)
            name = f"{each.edits}_{each.steps}_reuse_{each.tolerance:g}_regions_{each.likeness:g}"
            figures[name] = values
            shown = "same" if values["psnr_db"] is None else f"{values['psnr_db']} dB"
            print(f"{each.edits:<7} {each.steps:>5} {each.tolerance:>6g} {each.likeness:>7g} "
                  f"{values['edits']:>5} {shown:>9} {values['max_abs']:>4.0f} "
                  f"{values['reused_share']:>9.0%} {values['left_out_share']:>8.0%} "
                  f"{values['time_ratio']:>5.2f}x", flush=True)  # fmt: skip
    figures["seconds"] = round(time.perf_counter() - started, 1)
    print(json.dumps(figures))


def measured(row: Row, folder: Path, side: int, most: int) -> dict[str, Any]:
    """The figures of one line of the table, over at most so many edits."""
    family = loaded(row, folder, side)
    prompts: Sequence[str] = {"local": LOCAL, "random": RANDOM, "flux2": RANDOM}.get(
        row.edits, [skill.example for skill in family.recipe.vocabulary if skill.images == 1]
    )
    photo = gradient(side) if row.edits == "nano" else grey(side)
    errors, reused, left_out, ratios = [], [], [], []
    for seed, prompt in enumerate(prompts[:most]):
        edit = Edit(prompt=prompt, seed=seed, steps=row.steps, size=Size(side, side))
        exact, exact_s, _ = edited(family, edit, photo)
        fast, fast_s, metrics = edited(family, replace(edit, mode="fast"), photo)
        errors.append(np.abs(fast - exact))
        ratios.append(fast_s / exact_s)
        reused.append(metrics["reused_steps"] / row.steps)
        left_out.append(metrics.get("skipped_rows", 0) / (row.steps * 2 * (side // 16) ** 2))
    every = np.stack(errors)
    return {
        "edits": len(errors),
        "psnr_db": psnr(every),
        "max_abs": float(every.max()),
        "reused_share": round(statistics.mean(reused), 3),
        "left_out_share": round(statistics.mean(left_out), 3),
        "time_ratio": round(statistics.median(ratios), 2),
    }


def loaded(row: Row, folder: Path, side: int) -> FluxFamily:
    """The weights of a row, with what of `fast` it has on."""
    weights: str | Path = "nano"
    if row.edits == "flux2":
        recipe = {"name": "flux2", "area": side**2, "max_sequence_length": 64}
        weights = write_flux2_checkpoint(folder / "flux2", is_distilled=False, recipe=recipe)
    if row.edits == "random":
        recipe = {"name": "random", "area": side**2, "reference_fit": "target"}
        weights = write_checkpoint(folder, recipe=recipe)
    family = load_family(weights, fast_tolerance=row.tolerance, fast_likeness=row.likeness)
    return cast("FluxFamily", family)


def edited(
    family: FluxFamily, edit: Edit, photo: Picture
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], float, dict[str, float]]:
    """The picture's values, its CPU seconds between encoding and decoding, its metrics."""
    plan = family.plan(edit, [Size(photo.width, photo.height)], edit.seed or 0)
    session: Any = family.open(plan, edit, [photo])
    started = time.process_time()
    for _ in range(plan.steps):
        family.step([session])
    taken_s = time.process_time() - started
    values = np.frombuffer(family.close(session).data, np.uint8).astype(np.float64)
    return values, taken_s, family.metrics(session)


def psnr(errors: "np.ndarray[Any, np.dtype[np.float64]]") -> float | None:
    """Of absolute errors in 0..255, in decibels; None where there are none."""
    mean_square = float(np.mean(errors**2))
    return round(10 * math.log10(255**2 / mean_square), 1) if mean_square else None


def gradient(side: int) -> Picture:
    """A picture of soft colours with a disc in it, so that there is something to keep."""
    rows, columns = np.mgrid[0:side, 0:side] / side
    disc = (rows - 0.5) ** 2 + (columns - 0.4) ** 2 < 0.06
    planes = (200 * rows + 40, 160 * columns + 60, np.where(disc, 220, 90))
    return Picture(side, side, np.stack(planes, axis=2).astype(np.uint8).tobytes())


def grey(side: int) -> Picture:
    """A grey picture with a coloured disc in it: an edit of colours is an edit of the disc."""
    rows, columns = np.mgrid[0:side, 0:side] / side
    disc = (rows - 0.3) ** 2 + (columns - 0.3) ** 2 < 0.03
    shade = 120 + 80 * rows * np.cos(6 * columns)
    planes = [np.where(disc, colour, shade) for colour in (230, 60, 90)]
    return Picture(side, side, np.stack(planes, axis=2).astype(np.uint8).tobytes())


if __name__ == "__main__":
    main()
