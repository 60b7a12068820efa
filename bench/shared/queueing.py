"""What queueing theory expects of the same arrivals for ever."""

from collections.abc import Callable, Sequence

from retouch.domain.edit import Edit, Size
from shared.arrivals import KINDS, STEPS, Request
from shared.simulation import DIFFUSERS_COST


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
