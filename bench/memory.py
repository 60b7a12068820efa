"""A thousand edits in a row: does the engine give back what it takes?

    python bench/memory.py [--quick] [--weights nano]

Edits of mixed sizes and numbers of references, some of several pictures and some cancelled half
way, one burst after the other through one engine. Every edit is new and adds to the cache of
encoded content, whose bound is small here: the first hundred edits reach it, and from then on
what comes in has to push something out. Resident memory of this process from /proc (Linux), after
every tenth edit; `drift` is how far it ever was from where it stood after the first hundred.
Prints a table and, last, one JSON object.
"""

import argparse
import gc
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from shared.aims import Aim, tell

from retouch.bootstrap.parts import CLOCK
from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine import StepEngine, load_family, load_memory
from retouch.engine.families.flux1 import Flux1Family
from retouch.engine.memory import NoMemory
from retouch.engine.scheduler import Policy
from retouch.ports import Broken, Finished, Job

SIDES = (16, 32, 48, 64)
PROMPTS = ("make it black and white", "turn it into a sepia photo", "invert the colours", "blur it")
AIMS = (Aim("drift", "<=", 0.05),)
BURST = 5
CACHE_BYTES = 1_500_000
"""A hundred edits bring more than this."""


def resident_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def job(number: int, draw: random.Random) -> Job:
    """An edit of a size of its own with one reference or two."""
    width, height = draw.choice(SIDES), draw.choice(SIDES)
    photos = tuple(
        Picture(width, height, draw.randbytes(width * height * 3))
        for _ in range(draw.choice((1, 1, 2)))
    )
    edit = Edit(
        prompt=f"{draw.choice(PROMPTS)} {number}",
        size=Size(width, height),
        steps=draw.choice((1, 2, 3)),
        count=draw.choice((1, 1, 1, 2)),
        seed=number,
    )
    return Job(str(number), edit, photos)


def step(engine: StepEngine) -> int:
    """One iteration; how many edits it finished."""
    events = engine.step()
    for event in events:
        if isinstance(event, Broken):
            raise RuntimeError(event.failure.error)
    return sum(isinstance(event, Finished) for event in events)


def drift_of(megabytes: Mapping[int, float]) -> float:
    """The largest change since the first hundred edits, as a part of what there was then."""
    settled = megabytes[100]
    return max(abs(value / settled - 1) for at, value in megabytes.items() if at >= 100)


def main() -> None:
    """Make the edits and print where the memory stood."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200 edits")
    parser.add_argument("--weights", default="nano")
    options = parser.parse_args()
    edits = 200 if options.quick else 1000
    torch.set_num_threads(1)
    family = cast("Flux1Family", load_family(options.weights, cache_bytes=CACHE_BYTES))
    memory = load_memory(options.weights) or NoMemory()
    engine = StepEngine(family, clock=CLOCK, policy=Policy(token_budget=512), memory=memory)
    draw = random.Random(0)  # noqa: S311  not a secret
    started, finished, cancelled = time.monotonic(), 0, 0
    stands: dict[int, float] = {}
    cached: dict[int, float] = {}
    for first in range(0, edits, BURST):
        for number in range(first, first + BURST):
            engine.add(job(number, draw))
        if draw.random() < 0.2:  # some are cancelled once the engine has begun with the burst
            finished += step(engine)
            engine.cancel(str(first))
            cancelled += 1
        while not engine.idle:
            finished += step(engine)
        if (first + BURST) % 10 == 0:
            gc.collect()
            stands[first + BURST] = resident_mb()
            cached[first + BURST] = family._cache.size_bytes / 1e6
    print(f"{'edits':>6} {'resident MB':>12} {'cached MB':>10}")
    for at in sorted({10, 50, *range(100, edits + 1, 100)}):
        print(f"{at:>6} {stands[at]:>12.1f} {cached[at]:>10.1f}")
    figures = {
        "finished": finished,
        "cancels": cancelled,
        "resident_after_100_mb": round(stands[100], 1),
        "resident_at_the_end_mb": round(stands[edits], 1),
        "drift": round(drift_of(stands), 4),
        "seconds": round(time.monotonic() - started, 1),
    }
    tell(figures, AIMS)


if __name__ == "__main__":
    main()
