"""What a running edit feels of another that comes and goes, with and without the threads beside.

    python bench/ahead.py [--quick] [--threads N] [--device cpu]

One long edit runs. Another with a photo of 12 megapixels comes in, is opened, and both step until
it is done; then the next, by turns with threads that encode and decode it (`open_ahead`) and
without. In wall time, so for a machine that does nothing else: a step of the long edit alone; the
longest wait for one while the other comes and goes, which the threads are to shorten; and from the
other's coming to its picture, which they lengthen, each by up to a step of the long one's.
"""

import argparse
import json
import random
import time
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from retouch import logs
from retouch.bootstrap.parts import CLOCK
from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.engine import StepEngine
from retouch.engine.families import load_ahead, load_behind, load_family
from retouch.ports import Family, Finished, Job

PHOTO = Size(4000, 3000)
LONG = 100  # steps
SHORT = 4


def main() -> None:
    """Print the table, then the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one size, few turns")
    parser.add_argument("--threads", type=int, default=1, help="of a step, on a processor")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    logs.configure("warning", "auto")
    torch.set_num_threads(options.threads)
    started = time.perf_counter()
    family = load_family("nano", device=options.device)
    figures: dict[str, Any] = {"device": options.device, "threads": options.threads}
    print(f"{'pixels':>6} {'ahead':>5} {'turns':>5} {'step alone':>11} {'longest wait':>13} "
          f"{'to its picture':>15}")  # fmt: skip
    for side in (128,) if options.quick else (128, 256, 512):
        turns = 3 if options.quick else 8
        taken: dict[str, list[list[float]]] = {"off": [], "on": []}
        for number in range(2 * turns):
            choice = ("off", "on")[number % 2]
            taken[choice].append(turn(family, choice, side, number, options.device))
        for choice, rows in taken.items():
            alone, longest, whole = (round(1000 * median(each)) for each in zip(*rows, strict=True))
            figures[f"{side}_{choice}_ms"] = {"step": alone, "longest": longest, "whole": whole}
            print(f"{side:>6} {choice:>5} {turns:>5} {alone:>8} ms {longest:>10} ms "
                  f"{whole:>12} ms", flush=True)  # fmt: skip
    figures["seconds"] = round(time.perf_counter() - started, 1)
    print(json.dumps(figures))


def turn(family: Family, choice: str, side: int, number: int, device: str) -> list[float]:
    """Seconds of a step alone, of the longest while another comes and goes, and of that."""
    ahead = load_ahead(family, choice, device=device)
    behind = load_behind(family, choice, device=device)
    engine = StepEngine(family, clock=CLOCK, ahead=ahead, behind=behind)
    edit = Edit(prompt="make it red", seed=1, steps=LONG, size=Size(side, side))
    engine.add(Job("long", edit, (photo(0),)))
    for _ in range(2):
        engine.step()
    alone = median(timed(engine)[0] for _ in range(3))
    short = replace(edit, prompt=f"make it {number} {side} red", steps=SHORT)
    engine.add(Job("short", short, (photo(number + 1),)))
    came, waits, is_done = time.perf_counter(), list[float](), False
    while not is_done:
        took_s, is_done = timed(engine)
        waits.append(took_s)
    return [alone, max(waits), time.perf_counter() - came]


def timed(engine: StepEngine) -> tuple[float, bool]:
    """Seconds of an iteration, and whether a picture came of it."""
    began = time.perf_counter()
    events = engine.step()
    return time.perf_counter() - began, any(isinstance(event, Finished) for event in events)


def photo(number: int) -> Picture:
    """One that was never seen before."""
    row = random.Random(number).randbytes(PHOTO.width * 3)  # noqa: S311  no secret
    return Picture(PHOTO.width, PHOTO.height, row * PHOTO.height)


if __name__ == "__main__":
    main()
