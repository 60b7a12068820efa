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
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import isfinite
from statistics import fmean, median, quantiles
from typing import Any, Protocol

from shared.aims import Aim, tell

from retouch.domain.edit import Edit, Size
from retouch.engine.calibration import calibrate
from retouch.engine.engine import StepEngine
from retouch.engine.families.toy import ToyFamily, ToySession
from retouch.engine.scheduler import Policy
from retouch.ports import Finished, Job, Plan
from retouch.testing import FakeClock

LOADS = (0.5, 0.8, 0.95)
TARGET_LOAD = 0.8


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of edits: its size, and its share of the arrivals."""

    name: str
    side: int
    share: float


KINDS = (Kind("small", 128, 0.6), Kind("medium", 256, 0.3), Kind("large", 512, 0.1))
STEPS = (2, 4, 6)  # an edit takes one of these

DIFFUSERS_COST = {"small": 1.21, "medium": 1.13, "large": 1.14}
"""How much longer diffusers takes for an edit of each kind, in float32."""

WIDE_BUDGET = 3072
"""Tokens of a pass: a large edit and some small ones."""

FIRST_SHORT = 100
"""The seed of the first short run."""

WARM = 0.1
"""The share of a run that does not count."""


@dataclass(frozen=True, slots=True)
class Request:
    """An edit that arrives at some second."""

    id: str
    kind: str
    at_s: float
    edit: Edit


class BenchClock(Protocol):
    """A clock that can leap over time in which nothing happens."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...
    def skip_to(self, at_s: float) -> None: ...


Latencies = Mapping[str, float]
"""Seconds from the arrival to the picture, by request."""


# -- arrivals --------------------------------------------------------------------------------------


def arrivals(count: int, rate: float, seed: int) -> list[Request]:
    """That many requests at so many a second, the same for the same seed."""
    draw = random.Random(seed)  # noqa: S311  not a secret
    requests, at_s = [], 0.0
    for number in range(count):
        at_s += draw.expovariate(rate)
        (kind,) = draw.choices(KINDS, [kind.share for kind in KINDS])
        edit = Edit(
            prompt="make it red", size=Size(kind.side, kind.side), steps=draw.choice(STEPS), seed=1
        )
        requests.append(Request(str(number), kind.name, at_s, edit))
    return requests


def serial_rate(service_s: Callable[[Request], float], seed: int = 0) -> float:
    """Requests a second the device could do one after the other."""
    return 1 / fmean(service_s(request) for request in arrivals(2000, 1.0, seed))


def drive(
    engine: StepEngine, requests: Sequence[Request], clock: BenchClock, job: Callable[..., Job]
) -> Latencies:
    """Give an engine its requests as they arrive and it has room; how long each took."""
    coming, queue = deque(requests), deque[Request]()
    arrived = {request.id: request.at_s for request in requests}
    latencies: dict[str, float] = {}
    while coming or queue or not engine.idle:
        if engine.idle and not queue:
            clock.skip_to(coming[0].at_s)
            queue.append(coming.popleft())
        while coming and coming[0].at_s <= clock.monotonic():
            queue.append(coming.popleft())
        while queue and engine.room():
            engine.add(job(queue.popleft()))
        for event in engine.step():
            if isinstance(event, Finished):
                latencies[event.id] = clock.monotonic() - arrived[event.id]
    if len(latencies) != len(requests):
        raise RuntimeError(f"{len(requests) - len(latencies)} requests were lost")
    return latencies


# -- the simulated device --------------------------------------------------------------------------


class SimClock(FakeClock):
    """Time that passes when the device works, from 0 so that it adds up exactly."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def skip_to(self, at_s: float) -> None:
        """Leap to a second."""
        self.advance(max(0.0, at_s - self.monotonic()))


class SimFamily(ToyFamily):
    """The toy with a device's costs: seconds for a pass, a bit more to open and to decode.

    A pass costs a fixed part, and for each picture a part that grows with its tokens (linears) and
    one with their square (attention); fitted to the bundled weights on a processor core.
    """

    PASS_S, TOKEN_S, SQUARE_S, OPEN_S, PIXEL_S = 0.004, 1.6e-4, 7.4e-8, 0.01, 6e-8

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._time = clock

    def cost(self, plan: Plan) -> float:
        """Seconds of one step, without the fixed part."""
        return self.TOKEN_S * plan.tokens + self.SQUARE_S * plan.tokens**2

    def open(self, plan: Plan, edit: Edit, images: Sequence[object]) -> ToySession:
        """Takes its time."""
        self._time.advance(self.OPEN_S)
        return super().open(plan, edit, ())

    def pass_s(self, plans: Iterable[Plan]) -> float:
        """Seconds of one step of these together."""
        return self.PASS_S + sum(self.cost(plan) for plan in plans)

    def step(self, sessions: Sequence[ToySession]) -> None:
        """Takes its time."""
        self._time.advance(self.pass_s(session.plan for session in sessions))
        super().step(sessions)

    def close(self, session: ToySession) -> object:
        """Takes its time."""
        size = session.plan.size
        self._time.advance(self.PIXEL_S * size.width * size.height)
        return super().close(session)

    def plan(self, edit: Edit, images: Sequence[Size], seed: int) -> Plan:
        """The edit with one reference of its own size."""
        return super().plan(edit, [edit.size] if edit.size else images, seed)

    def service_s(self, request: Request) -> float:
        """Seconds of such a request alone."""
        plan = self.plan(request.edit, (), 0)
        pixels = plan.size.width * plan.size.height
        return self.OPEN_S + plan.steps * self.pass_s([plan]) + self.PIXEL_S * pixels


class WideFamily(SimFamily):
    """A device for which a few small pictures are not enough: no pass is shorter than `LEAST_S`."""

    LEAST_S = 0.12

    def pass_s(self, plans: Iterable[Plan]) -> float:
        """Seconds of one step of these together."""
        return max(self.LEAST_S, super().pass_s(plans))


def simulated_engine(family: SimFamily, clock: SimClock, max_jobs: int, **rules: Any) -> StepEngine:
    """As a worker builds it: measured first. `rules` are some of its policy's."""
    learned = calibrate(family, clock)
    budget = learned.token_budget or Policy().token_budget
    policy = replace(Policy(token_budget=budget), **rules)
    return StepEngine(family, clock=clock, max_jobs=max_jobs, policy=policy, pace=learned.pace)


def simulated(
    requests: Sequence[Request],
    max_jobs: int,
    device: type[SimFamily] = SimFamily,
    **rules: Any,
) -> Latencies:
    """Our engine with room for so many jobs; with 1 it is one at a time, oldest first."""
    clock = SimClock()
    engine = simulated_engine(device(clock), clock, max_jobs, **rules)
    began = clock.monotonic()
    later = [Request(it.id, it.kind, began + it.at_s, it.edit) for it in requests]
    return drive(engine, later, clock, lambda it: Job(it.id, it.edit, (), owner=it.id))


def shared_evenly(requests: Sequence[Request], service_s: Callable[[Request], float]) -> Latencies:
    """A thread for each: all that are there get on at the same speed."""
    coming = deque(requests)
    left: dict[str, float] = {}
    arrived = {request.id: request.at_s for request in requests}
    latencies: dict[str, float] = {}
    now = 0.0
    while coming or left:
        first = min(left, key=lambda id: left[id], default=None)
        ends_at = now + left[first] * len(left) if first else float("inf")
        until = min(ends_at, coming[0].at_s if coming else float("inf"))
        each_s = (until - now) / len(left) if left else 0.0
        left = {id: rest - each_s for id, rest in left.items()}
        now = until
        if first and until == ends_at:
            del left[first]
            latencies[first] = now - arrived[first]
        while coming and coming[0].at_s <= now:
            request = coming.popleft()
            left[request.id] = service_s(request)
    return latencies


# -- theory ----------------------------------------------------------------------------------------


def expected_means(load: float, service_s: Callable[[Request], float]) -> dict[str, float]:
    """Mean latencies of Poisson arrivals for ever, by who serves them; infinite when it cannot.

    Costs are one of nine, three kinds by three numbers of steps.
    """
    costs: list[tuple[float, float, float]] = []  # of ours, of diffusers', their share
    for kind in KINDS:
        for steps in STEPS:
            edit = Edit(prompt="", size=Size(kind.side, kind.side), steps=steps)
            ours_s = service_s(Request("", kind.name, 0.0, edit))
            costs.append((ours_s, DIFFUSERS_COST[kind.name] * ours_s, kind.share / len(STEPS)))
    mean_s = sum(cost * share for cost, _, share in costs)
    theirs_s = sum(cost * share for _, cost, share in costs)
    rate = load / mean_s
    square = sum(cost**2 * share for cost, _, share in costs)
    return {
        "fifo": mean_s + rate * square / (2 * (1 - load)),
        "threads": theirs_s / (1 - rate * theirs_s) if rate * theirs_s < 1 else float("inf"),
        "threads, our cost": mean_s / (1 - load),
        "shortest": _shortest_mean([(cost, share) for cost, _, share in costs], rate),
    }


def _shortest_mean(costs: Sequence[tuple[float, float]], rate: float) -> float:
    """Shortest remaining time first: the wait until it is served first, then its stay."""

    def load_below(size: float, *, with_equals: bool) -> float:
        return rate * sum(c * p for c, p in costs if c < size or (with_equals and c == size))

    mean_s = 0.0
    for size, share in costs:
        ahead = sum(min(cost, size) ** 2 * part for cost, part in costs)
        idle = 1 - load_below(size, with_equals=False)
        wait_s = rate * ahead / (2 * idle * (1 - load_below(size, with_equals=True)))
        stay_s, since = 0.0, 0.0
        for until in sorted(cost for cost, _ in costs if cost <= size):
            stay_s += (until - since) / (1 - load_below(until, with_equals=False))
            since = until
        mean_s += share * (wait_s + stay_s)
    return mean_s


# -- figures ---------------------------------------------------------------------------------------


RATIOS = (
    ("mean", "fifo", 0.75),
    ("mean", "threads", 0.45),
    ("small_mean", "fifo", 0.30),
    ("large_p95", "fifo", 1.25),
)
"""At the target load: of which measure, against whom, ours may take at most what part."""

AIMS = tuple(Aim(f"{measure}_against_{who}", "<=", most) for measure, who, most in RATIOS)


def measures(latencies: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Mean and p95 of all and of each class, from (class, seconds)."""
    pairs = list(latencies)
    found: dict[str, float] = {}
    for name in ("", *(kind.name for kind in KINDS)):
        values = [seconds for kind, seconds in pairs if name in ("", kind)]
        prefix = f"{name}_" if name else ""
        found[f"{prefix}mean"] = fmean(values)
        p95 = quantiles(values, n=20, method="inclusive")[-1] if values[1:] else values[0]
        found[f"{prefix}p95"] = p95
    return found


def report(rows: Mapping[float, Mapping[str, Mapping[str, float]]]) -> dict[str, object]:
    """Print the table of {load: {who: measures}}; the figures."""
    names = list(next(iter(next(iter(rows.values())).values())))
    print(f"{'load':<6}{'who':<19}" + "".join(f"{name:>13}" for name in names))
    for load, by_who in rows.items():
        for who, found in by_who.items():
            print(f"{load:<6}{who:<19}" + "".join(f"{found[name]:>13.3f}" for name in names))
    figures: dict[str, object] = {}
    at = rows.get(TARGET_LOAD, {})
    for measure, against, _ in RATIOS:
        ratio = at["ours"][measure] / at[against][measure]
        figures[f"{measure}_against_{against}"] = round(ratio, 3)
    figures["latencies_s"] = {
        str(load): {
            who: {name: round(value, 4) for name, value in found.items()}
            for who, found in by_who.items()
        }
        for load, by_who in rows.items()
    }
    return figures


def counted(requests: Sequence[Request], latencies: Latencies) -> list[tuple[str, float]]:
    """(class, seconds) of those that count."""
    late = requests[int(WARM * len(requests)) :]
    return [(request.kind, latencies[request.id]) for request in late]


def main() -> None:
    """Simulate every load and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of it, under a minute")
    quick = parser.parse_args().quick
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


if __name__ == "__main__":
    main()
