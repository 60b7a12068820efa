"""Many callers on one device, simulated: the real engine and scheduler, a cost model, no tensors.

    python bench/serving_sim.py [--quick]

Poisson arrivals of small, medium and large edits, a caller each, at three loads of the device's own
serial capacity, the same for all. Ours against one edit at a time in order of arrival (`fifo`) and
against a thread for each request on diffusers (`threads`): all that are there share the device
evenly, each edit costs `DIFFUSERS_COST` times ours, and sharing itself costs nothing. `threads,
our cost` is that without the factor: the order of work alone. `shortest` is ours with shortest
work first at all times: the least mean there is to be had, without any promise to large edits.

Costs and factors are what `bench/serving_costs.py` printed for the bundled weights. The rows
`theory` are what queueing theory says of the same arrivals for ever: Pollaczek and Khinchine's mean
for order of arrival, processor sharing's, and Schrage and Miller's for shortest remaining first on
a device that could be interrupted at any moment. Threads need longest to come near theirs.

Last, who may share a forward pass (`Policy.joins`): nobody, who brings no more work than those
before it together (ours), or whoever fits the budget; on the same device with a budget that is too
large for it, and on a wide one where a pass takes a while however little it carries. And how far a
short run of so many edits, as `bench/serving.py` can afford, may be off: the least, the median and
the most of some runs' ratios for the large edits' p95.

Latencies are simulated seconds; the first tenth of every long run, which began with nobody there,
does not count. Prints a table with the targets and, last, one JSON object. The whole takes about
three minutes of processor time.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from math import isfinite
from statistics import median

from shared.aims import tell
from shared.arrivals import Latencies, Request, arrivals, serial_rate
from shared.latencies import AIMS, TARGET_LOAD, measures, report
from shared.queueing import expected_means
from shared.simulation import (
    DIFFUSERS_COST,
    SimClock,
    SimFamily,
    WideFamily,
    shared_evenly,
    simulated,
)

from retouch import logs

LOADS = (0.5, TARGET_LOAD, 0.95)

WIDE_BUDGET = 3072
"""Tokens of a pass: a large edit and some small ones."""

FIRST_SHORT = 100
"""The seed of the first short run."""

WARM = 0.1
"""The share of a run that does not count."""


def main() -> None:
    """Simulate every load and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of it, under a minute")
    quick = parser.parse_args().quick
    logs.configure("error", "auto")
    rounds, count = (1, 2000) if quick else (4, 5000)
    started = time.monotonic()
    service_s = SimFamily(SimClock()).service_s

    def diffusers_s(request: Request) -> float:
        return DIFFUSERS_COST[request.kind] * service_s(request)

    ways: dict[str, Callable[[Sequence[Request]], Latencies]] = {
        "ours": partial(simulated, max_jobs=8),
        "fifo": partial(simulated, max_jobs=1),
        "threads": partial(shared_evenly, service_s=diffusers_s),
        "threads, our cost": partial(shared_evenly, service_s=service_s),
        "shortest": partial(simulated, max_jobs=64, patience=1e6, slower=1e6),
    }
    capacity = serial_rate(service_s)
    rows: dict[float, dict[str, dict[str, float]]] = {}
    for load in LOADS:
        pooled: dict[str, list[tuple[str, float]]] = {}
        for seed in range(rounds):
            requests = arrivals(count, load * capacity, seed)
            for who, serve in ways.items():
                pooled.setdefault(who, []).extend(counted(requests, serve(requests)))
        rows[load] = {who: measures(pairs) for who, pairs in pooled.items()}
    figures = report(rows)
    figures["theory_mean_s"] = {str(load): theory(load, rows[load], service_s) for load in LOADS}
    figures["joining"] = joining(2 * count // 5)
    figures["short_runs"] = short_runs(4 if quick else 16)
    figures["seconds"] = round(time.monotonic() - started, 1)
    tell(figures, AIMS)


def joining(count: int) -> dict[str, float]:
    """Print the mean latencies by who may share a pass; the figures."""
    figures: dict[str, float] = {}
    print(f"\n{'who may share a pass':<22}{'device':<12}{'load':>6}{'mean':>10}{'small_mean':>12}")
    for device, load in product((SimFamily, WideFamily), (0.8, 1.1)):
        capacity = serial_rate(device(SimClock()).service_s)
        requests = arrivals(count, load * capacity, 0)
        for who, joins in (
            ("nobody", 0.0),
            ("no more work (ours)", 1.0),
            ("who fits", float("inf")),
        ):
            latencies = simulated(
                requests, max_jobs=8, device=device, token_budget=WIDE_BUDGET, joins=joins
            )
            found = measures(counted(requests, latencies))
            name = "wide" if device is WideFamily else "same"
            print(f"{who:<22}{name:<12}{load:>6}{found['mean']:>10.3f}{found['small_mean']:>12.3f}")
            figures[f"{name}_{load}_{joins}_mean"] = round(found["mean"], 3)
            figures[f"{name}_{load}_{joins}_small_mean"] = round(found["small_mean"], 3)
    return figures


def short_runs(runs: int) -> dict[str, list[float]]:
    """Print how far the large edits' p95 against `fifo` may be off by the edits of a run."""
    figures: dict[str, list[float]] = {}
    capacity = serial_rate(SimFamily(SimClock()).service_s)
    print(f"\n{'large, p95: edits':<22}{'least':>10}{'median':>10}{'most':>10}   of {runs} runs")
    for count in (60, 240, 960):
        ratios = []
        for seed in range(FIRST_SHORT, FIRST_SHORT + runs):
            requests = arrivals(count, TARGET_LOAD * capacity, seed)
            ours, fifo = (
                measures((it.kind, latencies[it.id]) for it in requests)["large_p95"]
                for latencies in (simulated(requests, 8), simulated(requests, 1))
            )
            ratios.append(ours / fifo)
        figures[str(count)] = [round(it, 3) for it in (min(ratios), median(ratios), max(ratios))]
        print(f"{count:<22}" + "".join(f"{it:>10.2f}" for it in figures[str(count)]))
    return figures


def theory(
    load: float, rows: Mapping[str, Mapping[str, float]], service_s: Callable[[Request], float]
) -> dict[str, float | None]:
    """Print the mean latencies beside those theory expects; the latter, None where infinite."""
    expected = expected_means(load, service_s)
    print(f"\n{'mean at load ' + str(load):<22}{'simulated':>10}{'theory':>10}")
    print(f"{'ours':<22}{rows['ours']['mean']:>10.3f}")
    for who, mean_s in expected.items():
        print(f"{who:<22}{rows[who]['mean']:>10.3f}{mean_s:>10.3f}")
    return {who: round(s, 4) if isfinite(s) else None for who, s in expected.items()}


def counted(requests: Sequence[Request], latencies: Latencies) -> list[tuple[str, float]]:
    """(class, seconds) of those that count."""
    late = requests[int(WARM * len(requests)) :]
    return [(request.kind, latencies[request.id]) for request in late]


if __name__ == "__main__":
    main()
