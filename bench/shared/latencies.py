"""What latencies come to: means and percentiles, and whether they met the targets."""

from collections.abc import Iterable, Mapping
from statistics import fmean, quantiles

from shared.aims import Aim
from shared.arrivals import KINDS

TARGET_LOAD = 0.8

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


Rows = Mapping[str, Mapping[str, float]]
"""Measures by who served."""


def report(rows: Mapping[float, Rows], long: Rows | None = None) -> dict[str, object]:
    """Print the table of measures by load; the figures.

    `long` is a longer stream at the target load that some of the ways served; targets against one
    of those are judged by it.
    """
    long = long or {}
    table = {str(load): by_who for load, by_who in rows.items()}
    if long:
        table["long"] = long
    names = list(next(iter(rows[TARGET_LOAD].values())))
    print(f"{'load':<6}{'who':<19}" + "".join(f"{name:>13}" for name in names))
    for load, by_who in table.items():
        for who, found in by_who.items():
            print(f"{load:<6}{who:<19}" + "".join(f"{found[name]:>13.3f}" for name in names))
    figures: dict[str, object] = {}
    for measure, against, _ in RATIOS:
        at = long if against in long else rows[TARGET_LOAD]
        ratio = at["ours"][measure] / at[against][measure]
        figures[f"{measure}_against_{against}"] = round(ratio, 3)
    figures["latencies_s"] = {
        load: {
            who: {name: round(value, 4) for name, value in found.items()}
            for who, found in by_who.items()
        }
        for load, by_who in table.items()
    }
    return figures
