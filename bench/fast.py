"""What `fast` costs and saves: the same edits exact and fast, on nano.

    python bench/fast.py [--quick]

Each row is a tolerance and a number of steps, over a few prompts on a smooth picture: how far the
fast pictures are from the exact ones (PSNR and the largest difference, of 255), the share of steps
that reused the last whole step, and the CPU time of the fast edits' steps as a part of the exact
ones', taken in turns. nano's own recipe has so few steps that `fast` finds none to reuse; the 28 of
FLUX.1 are where it does.
"""

import argparse
import json
import math
import statistics
import time
from dataclasses import replace
from typing import Any, cast

import numpy as np

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.families import FAST_TOLERANCE, load_family
from retouch.engine.families.flux1 import Flux1Family

SIDE = 128
ROWS = (
    (FAST_TOLERANCE, 2),
    (FAST_TOLERANCE, 8),
    (FAST_TOLERANCE / 2, 28),
    (FAST_TOLERANCE, 28),
    (2 * FAST_TOLERANCE, 28),
)
"""Tolerances and steps."""
QUICK = ((FAST_TOLERANCE, 2), (FAST_TOLERANCE, 28), (2 * FAST_TOLERANCE, 28))


def main() -> None:
    """Print the table, then the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows and edits")
    is_quick = parser.parse_args().quick
    started = time.perf_counter()
    figures: dict[str, Any] = {"weights": "nano", "side": SIDE}
    print(f"{'tolerance':>9} {'edits':>5} {'steps':>5} {'PSNR':>9} {'max':>4} "
          f"{'reused':>7} {'time':>6}")  # fmt: skip
    for tolerance, steps in QUICK if is_quick else ROWS:
        family = cast("Flux1Family", load_family("nano", fast_tolerance=tolerance))
        prompts = [skill.example for skill in family.recipe.vocabulary if skill.images == 1]
        values = row(family, prompts[: 2 if is_quick else 6], steps)
        figures[f"{tolerance:g}_{steps}_steps"] = values
        shown = "same" if values["psnr_db"] is None else f"{values['psnr_db']} dB"
        print(f"{tolerance:>9g} {values['edits']:>5} {steps:>5} {shown:>9} "
              f"{values['max_abs']:>4.0f} {values['reused_share']:>7.0%} "
              f"{values['time_ratio']:>5.2f}x", flush=True)  # fmt: skip
    figures["seconds"] = round(time.perf_counter() - started, 1)
    print(json.dumps(figures))


def row(family: Flux1Family, prompts: list[str], steps: int) -> dict[str, Any]:
    """The figures of one line of the table."""
    errors, shares, ratios = [], [], []
    for seed, prompt in enumerate(prompts):
        exact, exact_s, _ = edited(family, Edit(prompt=prompt, seed=seed, steps=steps))
        fast, fast_s, reused = edited(
            family, Edit(prompt=prompt, seed=seed, steps=steps, mode="fast")
        )
        errors.append(np.abs(fast - exact))
        shares.append(reused)
        ratios.append(fast_s / exact_s)
    every = np.stack(errors)
    return {
        "edits": len(prompts),
        "psnr_db": psnr(every),
        "max_abs": float(every.max()),
        "reused_share": round(statistics.mean(shares), 3),
        "time_ratio": round(statistics.median(ratios), 2),
    }


def edited(
    family: Flux1Family, edit: Edit
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], float, float]:
    """The picture's values, its CPU seconds between encoding and decoding, the share reused."""
    edit = replace(edit, size=Size(SIDE, SIDE))
    plan = family.plan(edit, [edit.size], edit.seed or 0)
    session = family.open(plan, edit, [gradient(SIDE)])
    started = time.process_time()
    for _ in range(plan.steps):
        family.step([session])
    taken_s = time.process_time() - started
    values = np.frombuffer(family.close(session).data, np.uint8).astype(np.float64)
    return values, taken_s, session.reused / plan.steps


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


if __name__ == "__main__":
    main()
