"""What `serving_sim.py` is fed with, measured: the cost of edits, and of sharing a device.

    python bench/serving_costs.py [--quick]

The bundled weights in float32. First whole edits of each size by our engine and by a diffusers
pipeline, taking turns, in processor seconds of one core and one torch thread; ratios are medians
over the turns. From ours follow the costs of the simulated device.

Then what a thread for each request costs beyond its edits: some edits of one size at once against
the same one after the other, again in turns. On one core with one torch thread, and on all cores
with as many torch threads as torch likes, as such a server would run. A factor of 1 means that
sharing is free, which is what the simulation takes it to be. All cores are worth measuring on a
calm machine only: torch's threads wait for each other, and busy neighbours make that long. Takes
about three minutes of processor time.
"""

import argparse
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count, product
from statistics import median
from typing import Any, cast

import numpy as np
import torch
from serving import Diffusers, ours
from shared.arrivals import KINDS, Request
from shared.simulation import SimClock, SimFamily

from retouch.domain.edit import Edit, Size
from retouch.engine import load_family
from retouch.engine.families.flux1 import Flux1Family
from retouch.engine.families.source import folder_of, source_of
from retouch.engine.scheduler import Policy

STEPS = (2, 4)
NUMBERS = count()


def main() -> None:
    """Print both tables and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few turns, no large edits")
    quick = parser.parse_args().quick
    started = time.monotonic()
    logging.disable(logging.WARNING)
    weights = folder_of(source_of("nano"))
    family = cast("Flux1Family", load_family(weights))
    diffusers = Diffusers(weights, family.recipe.max_sequence_length)
    serve = ours(family, Policy(), max_jobs=1)
    torch_threads = torch.get_num_threads()
    sides = [kind.side for kind in KINDS][: 2 if quick else 3]
    for edit in (diffusers.edit, lambda it: serve([it])):
        edit(request(sides[0], 2))  # the first of everything takes longer
    figures: dict[str, Any] = {"cores": os.cpu_count(), "torch_threads": torch_threads}
    figures["sharing_all_cores"] = sharing(diffusers, sides[:2], f"all, {torch_threads}", quick)
    one_core()
    figures["sharing_one_core"] = sharing(diffusers, sides[:2], "one, 1", quick)
    figures |= costs(lambda it: serve([it]), diffusers.edit, sides, 2 if quick else 7)
    figures["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(figures))


def one_core() -> None:
    """This process on one core, with one torch thread."""
    torch.set_num_threads(1)
    with suppress(AttributeError):  # not every system can
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def costs(
    ours: Callable[[Request], object],
    theirs: Callable[[Request], object],
    sides: Sequence[int],
    turns: int,
) -> dict[str, Any]:
    """Whole edits by size and steps, and what follows for the simulated device."""
    figures: dict[str, Any] = {}
    print(
        f"\n{'pixels':>6}{'steps':>6}{'ours':>10}{'diffusers':>11}{'ratio':>8}   processor seconds"
    )
    ours_s: dict[tuple[int, int], float] = {}
    for side, steps in product(sides, STEPS):
        pairs = []
        for _ in range(turns):
            it = request(side, steps)
            pairs.append((taken(lambda: theirs(it))[0], taken(lambda: ours(it))[0]))  # noqa: B023  called at once
        ours_s[side, steps] = median(mine for _, mine in pairs)
        ratio = median(their / mine for their, mine in pairs)
        their_s = median(their for their, _ in pairs)
        print(f"{side:>6}{steps:>6}{ours_s[side, steps]:>9.3f}s{their_s:>10.3f}s{ratio:>7.2f}x")
        figures[f"{side}_{steps}_steps_ratio"] = round(ratio, 3)
    step_s = {side: (ours_s[side, 4] - ours_s[side, 2]) / 2 for side in sides}
    open_s = median(ours_s[side, 2] - 2 * step_s[side] for side in sides)
    print(f"\n{'pixels':>6}{'measured':>11}{'simulated':>11}   seconds of a step")
    simulated = SimFamily(SimClock())
    for side in sides:
        plan = simulated.plan(request(side, 2).edit, (), 0)
        print(f"{side:>6}{step_s[side]:>10.4f}s{simulated.pass_s([plan]):>10.4f}s")
    figures["step_s"] = {str(side): round(s, 4) for side, s in step_s.items()}
    figures["open_s"] = round(open_s, 4)
    if len(sides) == 3:
        tokens = [simulated.plan(request(side, 2).edit, (), 0).tokens for side in sides]
        terms = np.array([(1.0, float(n), float(n) ** 2) for n in tokens])
        names = ("PASS_S", "TOKEN_S", "SQUARE_S")
        fitted = np.linalg.solve(terms, np.array([step_s[side] for side in sides]))
        figures |= {name: float(f"{value:.2g}") for name, value in zip(names, fitted, strict=True)}
    return figures


def sharing(
    diffusers: Diffusers, sides: Sequence[int], where: str, quick: bool
) -> dict[str, float]:
    """How much longer edits take at once than one after the other, in processor and wall time."""
    figures: dict[str, float] = {}
    print(f"\n{'pixels':>6}{'at once':>9}{'processor':>11}{'wall':>8}   (cores, threads: {where})")
    for side, together in product(sides, (4,) if quick else (2, 4, 8)):
        ratios = []
        for _ in range(1 if quick else 3):
            requests = [request(side, 2) for _ in range(together)]
            serial = taken(lambda: deque(map(diffusers.edit, requests), 0))  # noqa: B023  called at once
            at_once = taken(lambda: in_threads(diffusers, requests))  # noqa: B023  called at once
            ratios.append([mine / other for mine, other in zip(at_once, serial, strict=True)])
        cpu, wall = (median(each) for each in zip(*ratios, strict=True))
        print(f"{side:>6}{together:>9}{cpu:>10.2f}x{wall:>7.2f}x")
        figures[f"{side}_{together}_cpu"] = round(cpu, 3)
        figures[f"{side}_{together}_wall"] = round(wall, 3)
    return figures


def in_threads(diffusers: Diffusers, requests: Sequence[Request]) -> None:
    """A thread for each."""
    threads = [threading.Thread(target=diffusers.edit, args=(it,)) for it in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def request(side: int, steps: int) -> Request:
    """One that was never asked before, so that no cache knows it."""
    number = next(NUMBERS)
    edit = Edit(prompt=f"make it {number} red", size=Size(side, side), steps=steps, seed=1)
    return Request(str(number), str(side), 0.0, edit)


def taken(run: Callable[[], object]) -> tuple[float, float]:
    """Processor and wall seconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
