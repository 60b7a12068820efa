"""Many callers on one device, for real: our engine against diffusers, on the same small weights.

    python bench/serving.py [--quick] [--minutes 10] [--token-budget 768]

Random weights of the real classes, with a codec that takes next to nothing, as decoding does beside
the steps of large weights; Poisson arrivals of edits of 128, 256 and 512 pixels and 2, 4 or 6
steps, at loads of our own serial capacity. Ours against our engine one edit at a time in order of
arrival (`fifo`), a diffusers pipeline one at a time (`fifo diffusers`) and a thread for each
request on diffusers pipelines that share their weights (`threads`); the same arrivals for all, and
in each round every load and every way has its turn. No round begins that would end after
`--minutes` of wall time if it took as long as the longest before; there is one at least.

A round ends with two longer streams at the load that has targets, of ours and `fifo` only (`long`),
and the targets against `fifo` are judged by those. Large edits are one in ten, and of twenty of
them the p95 is the unluckiest: `bench/serving_sim.py` prints how far a short stream may be off.

Everything runs on one core with one torch thread, and time is that of this process alone: seconds
of its processor time, and waiting for the next arrival is leapt over. So neighbours on the machine
change little. For the same reason the token budget is given; 0 measures it as a worker does.
Prints a table with the targets and, last, one JSON object.
"""

import argparse
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from diffusers import FluxKontextPipeline
from PIL import Image
from shared.aims import tell
from shared.arrivals import KINDS, STEPS, Latencies, Request, arrivals, drive, serial_rate
from shared.latencies import AIMS, TARGET_LOAD, measures, report

from retouch import logs
from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine import StepEngine, load_family
from retouch.engine.calibration import calibrate
from retouch.engine.families.tiny import write_checkpoint
from retouch.engine.pace import Pace
from retouch.engine.scheduler import Policy
from retouch.ports import Family, Job

TEXT_TOKENS = 32
TOKEN_BUDGET = 768
"""Where a pass of these weights reaches nine tenths of its best rate on a calm core."""
EDITS = {0.5: 40, TARGET_LOAD: 200, 0.95: 40}
"""Of a round, by load."""
LONG_STREAMS, LONG = 2, 400
"""A round's long streams, and the edits of each."""
IN_LONG = ("ours", "fifo")
FIRST_LONG = 1000
"""The seed of the first long stream."""
NO_PACE = Pace()
PHOTOS = {
    kind.side: Picture(kind.side, kind.side, bytes(range(256)) * (kind.side**2 * 3 // 256))
    for kind in KINDS
}


class WorkClock:
    """Processor seconds of this process, and whatever was leapt over."""

    def __init__(self) -> None:
        self._skipped = -time.process_time()

    def now(self) -> float:
        """The same as `monotonic`: nobody here asks for the date."""
        return self.monotonic()

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return time.process_time() + self._skipped

    def skip_to(self, at_s: float) -> None:
        """Leap to a second."""
        self._skipped += max(0.0, at_s - self.monotonic())


# -- ours ------------------------------------------------------------------------------------------


def ours(
    family: Family, policy: Policy, max_jobs: int, pace: Pace = NO_PACE
) -> Callable[..., Latencies]:
    """Our engine with room for so many; with 1 it is one at a time, oldest first."""

    def serve(requests: Sequence[Request]) -> Latencies:
        clock = WorkClock()
        engine = StepEngine(family, clock=clock, max_jobs=max_jobs, policy=policy, pace=pace)
        return drive(engine, requests, clock, job)

    return serve


def job(request: Request) -> Job:
    """The request with a photo of its own size."""
    return Job(request.id, request.edit, (PHOTOS[side(request.edit)],), owner=request.id)


def side(edit: Edit) -> int:
    """The side of its square picture."""
    if edit.size is None:
        raise ValueError("the requests of this benchmark name their size")
    return edit.size.width


def service_times(family: Family, runs: int) -> dict[tuple[int, int], float]:
    """Seconds of each (side, steps) alone: the mean of some runs."""
    times: dict[tuple[int, int], float] = {}
    serve = ours(family, Policy(), 1)
    for kind in KINDS:
        for steps in STEPS:
            edit = Edit(prompt="make it red", size=Size(kind.side, kind.side), steps=steps, seed=1)
            alone = [serve([Request("0", kind.name, 0.0, edit)])["0"] for _ in range(runs)]
            times[kind.side, steps] = fmean(alone)
    return times


# -- diffusers -------------------------------------------------------------------------------------


class Diffusers:
    """Pipelines over one set of weights; a scheduler keeps state, so each request has its own."""

    def __init__(self, weights: Path, text_tokens: int) -> None:
        self._pipeline = FluxKontextPipeline.from_pretrained(weights)
        self._text_tokens = text_tokens

    def edit(self, request: Request) -> None:
        """One edit from the photo to the picture."""
        parts = dict(self._pipeline.components)
        parts["scheduler"] = type(parts["scheduler"]).from_config(parts["scheduler"].config)
        pipeline: Any = FluxKontextPipeline(**parts)
        pipeline.set_progress_bar_config(disable=True)
        pixels = side(request.edit)
        photo = Image.frombytes("RGB", (pixels, pixels), PHOTOS[pixels].data)
        pipeline(
            prompt=request.edit.prompt,
            image=photo,
            height=pixels,
            width=pixels,
            max_area=pixels * pixels,
            num_inference_steps=request.edit.steps,
            max_sequence_length=self._text_tokens,
            _auto_resize=False,
        )

    def one_at_a_time(self, requests: Sequence[Request]) -> Latencies:
        """In order of arrival."""
        clock, latencies = WorkClock(), {}
        for request in requests:
            clock.skip_to(request.at_s)
            self.edit(request)
            latencies[request.id] = clock.monotonic() - request.at_s
        return latencies

    def thread_each(self, requests: Sequence[Request]) -> Latencies:
        """A thread for each as it arrives."""
        clock, latencies = WorkClock(), {}
        threads: list[threading.Thread] = []

        def run(request: Request) -> None:
            self.edit(request)
            latencies[request.id] = clock.monotonic() - request.at_s

        for request in requests:
            while clock.monotonic() < request.at_s:
                if any(thread.is_alive() for thread in threads):
                    # Processor time of one core is never ahead of the wall's: this is not too long.
                    time.sleep(max(0.0, min(0.05, request.at_s - clock.monotonic())))
                else:
                    clock.skip_to(request.at_s)
            threads.append(threading.Thread(target=run, args=(request,)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        if len(latencies) != len(requests):
            raise RuntimeError("a thread died")
        return latencies


class Pool:
    """What several streams at the same load came to."""

    def __init__(self) -> None:
        self.streams = 0
        self._pairs: dict[str, list[tuple[str, float]]] = {}  # (class, seconds) by who served

    def serve(
        self, requests: Sequence[Request], ways: Mapping[str, Callable[..., Latencies]]
    ) -> None:
        """Let each way serve the same requests."""
        self.streams += 1
        for who, serve in ways.items():
            latencies = serve(requests)
            pairs = [(request.kind, latencies[request.id]) for request in requests]
            self._pairs.setdefault(who, []).extend(pairs)

    def measures(self) -> dict[str, dict[str, float]]:
        """Of each way."""
        return {who: measures(pairs) for who, pairs in self._pairs.items()}


# -- all of it -------------------------------------------------------------------------------------


def main() -> None:
    """Serve every load in every way and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one load, one short round")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--token-budget", type=int, default=TOKEN_BUDGET)
    options = parser.parse_args()
    edits = {TARGET_LOAD: 24} if options.quick else EDITS
    started = time.monotonic()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    logs.configure("error", "auto")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        recipe = {"max_sequence_length": TEXT_TOKENS, "reference_fit": "target", "steps": 4}
        weights = write_checkpoint(Path(folder), heads=4, codec="dct", recipe=recipe)
        family, diffusers = load_family(weights), Diffusers(weights, TEXT_TOKENS)
        learned = calibrate(family, WorkClock())
        budget = options.token_budget or learned.token_budget or Policy().token_budget
        policy = Policy(token_budget=budget)
        times = service_times(family, 1 if options.quick else 5)
        capacity = serial_rate(lambda it: times[side(it.edit), it.edit.steps or 0])
        ways: dict[str, Callable[[Sequence[Request]], Latencies]] = {
            "ours": ours(family, policy, 8, learned.pace),
            "fifo": ours(family, policy, 1, learned.pace),
            "fifo diffusers": diffusers.one_at_a_time,
            "threads": diffusers.thread_each,
        }
        for serve in ways.values():
            serve(arrivals(3, 1.0, 99))  # the first of everything takes longer
        pooled = {load: Pool() for load in edits}
        long = Pool()
        ends_at = started + (0.0 if options.quick else 60 * options.minutes)
        rounds, longest_s = 0, 0.0
        while not rounds or time.monotonic() + longest_s < ends_at:
            began = time.monotonic()
            for load, count in edits.items():
                pooled[load].serve(arrivals(count, load * capacity, rounds), ways)
            for _ in range(0 if options.quick else LONG_STREAMS):
                requests = arrivals(LONG, TARGET_LOAD * capacity, FIRST_LONG + long.streams)
                long.serve(requests, {who: ways[who] for who in IN_LONG})
            rounds += 1
            longest_s = max(longest_s, time.monotonic() - began)
            print(f"round {rounds} took {time.monotonic() - began:.0f} s", flush=True)
    figures = report({load: pool.measures() for load, pool in pooled.items()}, long.measures())
    figures |= {
        "requests_per_s_serial": round(capacity, 2),
        "token_budget": policy.token_budget,
        "rounds": rounds,
        "edits": {load: rounds * count for load, count in edits.items()},
        "long_edits": long.streams * LONG,
        "seconds": round(time.monotonic() - started, 1),
    }
    tell(figures, AIMS)


if __name__ == "__main__":
    main()
