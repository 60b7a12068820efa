"""What a benchmark's figures should reach: written once, in the script that measures them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any


@dataclass(frozen=True, slots=True)
class Aim:
    """What figures of one name should reach; `figure` is a dotted path and may hold wildcards."""

    figure: str
    sign: str  # ">=" or "<="
    limit: float

    def is_met(self, value: float) -> bool:
        """Whether this value reaches it."""
        return value >= self.limit if self.sign == ">=" else value <= self.limit


def judged(figures: Mapping[str, Any], aims: Iterable[Aim]) -> list[dict[str, Any]]:
    """Every figure that an aim is set for: its name, itself, its limit, whether that is met.

    An aim whose figure was not measured has None for the figure and for whether it is met.
    """
    numbers = dict(_leaves(figures))
    rows = []
    for aim in aims:
        found = [name for name in numbers if fnmatch(name, aim.figure)]
        for name in found or [aim.figure]:
            value = numbers.get(name)
            rows.append(
                {
                    "name": name,
                    "figure": value,
                    "limit": f"{aim.sign} {aim.limit:g}",
                    "met": None if value is None else aim.is_met(value),
                }
            )
    return rows


def verdict(row: Mapping[str, Any]) -> str:
    """How a figure stands to its aim, in words."""
    return {True: "met", False: "not met", None: "not measured"}[row["met"]]


def tell(figures: Mapping[str, Any], aims: Iterable[Aim]) -> bool:
    """Print how figures stand to their aims and, last, both as one JSON object.

    Returns whether no measured figure missed its aim.
    """
    rows = judged(figures, aims)
    wide = max((len(row["name"]) for row in rows), default=0)
    print()
    for row in rows:
        value = "" if row["figure"] is None else f"{row['figure']:.4g}"
        print(f"{row['name']:<{wide}}{value:>11}  {row['limit']:<9} {verdict(row)}")
    print(json.dumps({**figures, "aims": rows}))
    return all(row["met"] is not False for row in rows)


def _leaves(tree: object, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a JSON value with its dotted path; a list counts as its length."""
    match tree:
        case Mapping():
            for name, value in tree.items():
                yield from _leaves(value, f"{path}.{name}" if path else name)
        case list():
            yield path, len(tree)
        case int() | float():
            yield path, float(tree)
