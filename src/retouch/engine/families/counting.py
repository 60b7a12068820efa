"""Counts a checkpoint's parameters and bytes from its safetensors headers; reads no tensor."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from retouch.engine.families.source import WeightsError

Counts = Mapping[str, int]
"""Numbers by their format on disk: `{"BF16": 11901408320}`."""

MAX_HEADER_BYTES = 100_000_000  # as the format allows
BYTES = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2,
    "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
FLOATING = ("F64", "F32", "F16", "BF16")
"""Formats that loading casts to the precision of the model."""


@dataclass(frozen=True, slots=True)
class Need:
    """A component of a checkpoint and what it takes."""

    component: str
    parameters: int
    file_bytes: int
    wide_bytes: int  # in memory as float32
    narrow_bytes: int  # in memory as bfloat16 or float16

    @classmethod
    def of(cls, component: str, counts: Iterable[Counts]) -> "Need":
        """The sum over a component's files."""
        total: dict[str, int] = {}
        for each in counts:
            for kind, count in each.items():
                total[kind] = total.get(kind, 0) + count
        kept = sum(BYTES.get(it, 4) * n for it, n in total.items() if it not in FLOATING)
        floating = sum(n for it, n in total.items() if it in FLOATING)
        return cls(
            component,
            parameters=sum(total.values()),
            file_bytes=sum(BYTES.get(it, 4) * n for it, n in total.items()),
            wide_bytes=kept + 4 * floating,
            narrow_bytes=kept + 2 * floating,
        )


def components(index: Mapping[str, object]) -> list[str]:
    """The parts that a `model_index.json` names."""
    return [
        name
        for name, named in index.items()
        if isinstance(named, list) and len(named) == 2 and all(isinstance(it, str) for it in named)
    ]


def needs(folder: Path, names: Iterable[str]) -> list[Need]:
    """The size of each component in a folder, without components that have no weights."""
    found = []
    for name in names:
        files = sorted((folder / name).glob("*.safetensors"))
        if files:
            found.append(Need.of(name, (read_counts(file) for file in files)))
    return found


def read_counts(path: Path) -> Counts:
    """Numbers by format in one file; raises WeightsError naming the file."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= MAX_HEADER_BYTES:
                raise ValueError("its header has an impossible length")
            header = json.loads(file.read(length))
        counts: dict[str, int] = {}
        for name, about in header.items():
            if name != "__metadata__":
                count = prod(about["shape"])
                counts[about["dtype"]] = counts.get(about["dtype"], 0) + count
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is no safetensors file: {error}") from error
    return counts


def wanted(paths: Iterable[str], names: Iterable[str]) -> list[str]:
    """The files of a repository that loading reads: the components', in one variant, and ours.

    Repositories also hold the same weights as one large file, in other precisions and as pickles.
    """
    parts = frozenset(names)
    return [
        path
        for path in paths
        for head, _, rest in [path.partition("/")]
        if path in ("model_index.json", "retouch.json") or (head in parts and _is_read(rest))
    ]


def _is_read(name: str) -> bool:
    if "/" in name:
        return False
    stem = name.removesuffix(".safetensors").removesuffix(".json").removesuffix(".index")
    if stem.endswith((".fp16", ".bf16", ".fp8")):
        return False
    return name.endswith((".safetensors", ".json", ".txt", ".model", ".jinja"))
