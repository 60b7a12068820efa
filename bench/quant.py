"""What rounding the weights to eight bits costs and saves, on the processor.

    python bench/quant.py [--quick]

Needs the `quant` extra; without torchao it says so and measures nothing. Each row is the weights of
nano or a tiny random FLUX.1 or FLUX.2 checkpoint, and a quantisation. Against the same weights in
float32 as they came: the bytes of the transformer, the relative error of the latents' way from
noise to picture (L2, after all steps; in the row's own precision), PSNR of the picture, and the CPU
time of the steps. `alone` is the largest difference between requests packed into one pass and the
same alone. The processor forms the products of float8 as an accelerator would, only slowly: of that
row the error counts and the time says nothing.
"""

import argparse
import logging
import math
import tempfile
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import numpy as np
import torch
from shared.aims import Aim, tell

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.families import load_family, quantised
from retouch.engine.families.flux1 import Flux1Family
from retouch.engine.families.tiny import write_checkpoint
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint

ROWS = [
    (quantisation, dtype)
    for dtype in ("float32", "bfloat16")
    for quantisation in ("none", "int8", "int8-dynamic")
] + [("float8", "bfloat16")]
EXACT = ("none", "float32")
AIMS = (Aim("*.*_bfloat16.alone_max_abs", "<=", 0),)


def main() -> None:
    """Print the table, then the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="nano and FLUX.1, fewer edits")
    is_quick = parser.parse_args().quick
    if find_spec("torchao") is None:
        print("nothing measured: torchao is not installed; run: pip install 'retouch[quant]'")
        tell({"skipped": "torchao is not installed"}, AIMS)
        return
    started = time.perf_counter()
    torch.set_num_threads(1)
    allow_float8()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    figures: dict[str, Any] = {"quick": is_quick, "torch": torch.__version__}
    print(f"{'weights':<9} {'dtype':<9} {'quantisation':<13} {'transformer':>11} {'error':>8} "
          f"{'PSNR':>8} {'time':>6} {'alone':>8}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name, weights in checkpoints(Path(folder), is_quick=is_quick):
            figures[name] = table(name, weights, 1 if is_quick else 3)
    figures["seconds"] = round(time.perf_counter() - started, 1)
    tell(figures, AIMS)


def allow_float8() -> None:
    """Take the guards away that keep float8 off processors, ours and torchao's."""
    quantised.check_quantisation = lambda *_: None
    guarded: Any = import_module("torchao.quantization.quant_api")
    guarded._check_hardware_support = lambda _: None


def checkpoints(folder: Path, *, is_quick: bool) -> list[tuple[str, Path | str]]:
    """nano, and random weights wide enough to be rounded as real ones are."""
    recipe = {"max_sequence_length": 64, "area": 96 * 96, "steps": 2 if is_quick else 4}
    wide: dict[str, Any] = {"recipe": recipe, "heads": 4, "head_dim": 64}
    found: list[tuple[str, Path | str]] = [
        ("nano", "nano"),
        ("flux1", write_checkpoint(folder / "flux1", **wide)),
    ]
    if not is_quick:
        found.append(("flux2", write_flux2_checkpoint(folder / "flux2", recipe=recipe, heads=4)))
    return found


def table(name: str, weights: Path | str, times: int) -> dict[str, Any]:
    """The rows of one checkpoint; edits of all of them in turns."""
    families = {
        row: cast("Flux1Family", load_family(weights, device="cpu", dtype=row[1],
                                             quantisation=row[0]))
        for row in ROWS
    }  # fmt: skip
    runs = [{row: edited(families[row], seed) for row in ROWS} for seed in range(times)]
    values = {}
    for quantisation, dtype in ROWS:
        row = (quantisation, dtype)
        value = {
            "transformer_bytes": held_bytes(families[row]._model),
            "error": rounded(fmean(error(run[row][0], run[EXACT][0]) for run in runs)),
            "psnr_db": psnr([(run[row][1], run[EXACT][1]) for run in runs]),
            "time_ratio": round(fmean(run[row][2] / run[EXACT][2] for run in runs), 2),
            "alone_max_abs": rounded(apart(families[row])),
        }
        values[f"{quantisation}_{dtype}"] = value
        shown = "same" if value["psnr_db"] is None else f"{value['psnr_db']} dB"
        print(f"{name:<9} {dtype:<9} {quantisation:<13} {value['transformer_bytes']:>11,} "
              f"{value['error']:>8.1e} {shown:>8} {value['time_ratio']:>5.2f}x "
              f"{value['alone_max_abs']:>8.1e}", flush=True)  # fmt: skip
    return values


def edited(family: Flux1Family, seed: int) -> tuple[torch.Tensor, "np.ndarray[Any, Any]", float]:
    """The way the latents went, the picture's values, and the CPU seconds of the steps."""
    session = opened(family, seed, 96)
    start = session.latents.float()
    started = time.process_time()
    for _ in range(session.plan.steps):
        family.step([session])
    taken_s = time.process_time() - started
    values = np.frombuffer(family.close(session).data, np.uint8).astype(np.float64)
    return session.latents.float() - start, values, taken_s


def opened(family: Flux1Family, seed: int, side: int) -> Any:
    edit = Edit(prompt="make it black and white", seed=seed, size=Size(side, side))
    return family.open(family.plan(edit, [Size(96, 96)], seed), edit, [gradient(96)])


def apart(family: Flux1Family) -> float:
    """One step in company against the same step alone, the largest difference of latents."""
    sides = (64, 96, 32)
    together = [opened(family, seed, side) for seed, side in enumerate(sides)]
    alone = [opened(family, seed, side) for seed, side in enumerate(sides)]
    family.step(together)
    for session in alone:
        family.step([session])
    return max(
        float((one.latents - other.latents).abs().max())
        for one, other in zip(together, alone, strict=True)
    )


def held_bytes(model: Any) -> int:
    """What a model's weights take, those inside quantised ones counted as they are kept."""
    total = 0
    for weight in model.parameters():
        names = getattr(weight, "tensor_data_names", None)
        kept = [getattr(weight, name) for name in names] if names else [weight]
        total += sum(tensor.numel() * tensor.element_size() for tensor in kept)
    return total


def error(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


def rounded(value: float) -> float:
    return float(f"{value:.2e}")


def psnr(pairs: "list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]") -> float | None:
    """Of values in 0..255, in decibels; None where all are the same."""
    mean_square = float(np.mean([np.mean((one - other) ** 2) for one, other in pairs]))
    return round(10 * math.log10(255**2 / mean_square), 1) if mean_square else None


def gradient(side: int) -> Picture:
    """A picture of soft colours."""
    rows, columns = np.mgrid[0:side, 0:side] / side
    planes = (200 * rows + 40, 160 * columns + 60, 90 + 0 * rows)
    return Picture(side, side, np.stack(planes, axis=2).astype(np.uint8).tobytes())


if __name__ == "__main__":
    main()
