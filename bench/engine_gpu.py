"""Step times of the 12 B Kontext transformer on an accelerator: ours beside diffusers.

    python bench/engine_gpu.py [--quick] [--device cuda] [--limit-s 840]

Random weights in the shape of FLUX.1 Kontext [dev], made on the device once for all, in bfloat16.
Each row is one denoising step of one edit, the ways to make it in turns: diffusers as it comes,
diffusers compiled with fused QKV, and our packed forward as written, compiled as it serves on CUDA,
and with CUDA graphs as well. TFLOP are counted on the stock forward; `peak` is the best rate of a
large matrix product measured in this run. `apart` is how far a way's velocity is from that of
diffusers as it comes, as a part of its largest value. Then the curve of tokens in one pass, and a
mixed pass against each of its requests alone.

What fails, or is not begun by `--limit-s`, is in the figures with its reason, and the rest goes on.

`--quick`, and any run on the processor, is the dry run: a tiny transformer, small pictures, blocks
traced but not compiled. It goes the same way and its times mean nothing.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

import torch
from diffusers import FluxTransformer2DModel
from shared.aims import Aim, tell
from torch import Tensor
from torch.fx.experimental import _config as shape_config
from torch.utils.flop_counter import FlopCounterMode

from retouch.engine.families.blocks import Blocks
from retouch.engine.families.packed import Request, velocity
from retouch.engine.families.packed_flux1 import BLOCKS, prepare
from retouch.engine.families.positions import position_ids

T = TypeVar("T")

KONTEXT_DEV: dict[str, Any] = {
    "in_channels": 64, "num_layers": 19, "num_single_layers": 38, "attention_head_dim": 128,
    "num_attention_heads": 24, "joint_attention_dim": 4096, "pooled_projection_dim": 768,
    "guidance_embeds": True, "axes_dims_rope": (16, 56, 56),
}  # fmt: skip
TINY: dict[str, Any] = KONTEXT_DEV | {
    "num_layers": 1, "num_single_layers": 2, "attention_head_dim": 32, "num_attention_heads": 2,
    "joint_attention_dim": 64, "pooled_projection_dim": 32, "axes_dims_rope": (4, 14, 14),
}  # fmt: skip

ROWS = ((1024, (1024,)), (1024, (512,)), (512, (512,)), (256, (256,)), (1024, (1024, 1024)))
"""Sides of the target and of its references."""

STEPS = 28
SLOW = 0.4
"""The part of the peak that the slowest way should reach at least, to tell beforehand how long."""
COMPILING_S = 300
"""What compilers should take at most."""
AIMS = (
    Aim("of_peak_1024_1024", ">=", 0.65),
    Aim("least_against_compiled", ">=", 1),
    Aim("seconds", "<=", 900),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """What a run measures with."""

    config: dict[str, Any]
    device: torch.device
    text_tokens: int
    shrink: int  # sides are divided by it
    warm_ups: int  # they compile too
    repeats: int
    packs: Sequence[int]  # requests in one pass, for the curve
    matrix: int  # side of the matrices that measure the peak
    compile_with: dict[str, Any]
    graphs_with: dict[str, Any] | None  # None: no CUDA graphs here

    @classmethod
    def full(cls, device: torch.device) -> "Scale":
        """The real thing."""
        return cls(
            KONTEXT_DEV, device, 512, 1, 3, 10, (1, 2, 4, 8, 16), 8192, {},
            {"mode": "reduce-overhead"},
        )  # fmt: skip

    @classmethod
    def dry(cls, device: torch.device) -> "Scale":
        """The same way in seconds."""
        return cls(TINY, device, 8, 8, 1, 1, (1, 2), 64, {"backend": "eager"}, None)


@dataclass(frozen=True, slots=True)
class Made:
    """A request for both: ours prepared, theirs as the stock forward wants it."""

    request: Request
    latents: Tensor
    stock: dict[str, Tensor]
    tokens: int


@dataclass
class Trouble:
    """What went wrong so far, and when there is no more time."""

    device: torch.device
    ends_at: float  # of `time.perf_counter`
    failed: dict[str, str] = field(default_factory=dict)
    is_lost: bool = False  # the device answers no more

    def tried(self, what: str, work: Callable[[], T]) -> T | None:
        """What some work answers; None where it failed, which is noted under a name."""
        try:
            if self.is_lost:
                raise RuntimeError("the device was lost before")
            if time.perf_counter() > self.ends_at:
                raise TimeoutError("there was no time left")
            return work()
        except Exception as error:  # noqa: BLE001  one row costs no other
            said = str(error).strip().partition("\n")[0]
            self.failed[what] = f"{type(error).__name__}: {said[:300]}"
            print(f"{what} failed: {self.failed[what]}")
            self.is_lost |= isinstance(error, torch.AcceleratorError)
        if self.device.type == "cuda" and not self.is_lost:
            torch.cuda.empty_cache()
        return None


def main() -> None:
    """Print the tables, then the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the dry run")
    best = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=best)
    parser.add_argument("--limit-s", type=float, default=840, help="begin nothing after so long")
    options = parser.parse_args()
    device = torch.device(options.device)
    is_dry = options.quick or device.type == "cpu"
    scale = Scale.dry(device) if is_dry else Scale.full(device)
    started = time.perf_counter()
    trouble = Trouble(device, started + options.limit_s)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    figures: dict[str, Any] = {"dry_run": is_dry, "device": name, "torch": torch.__version__}
    with torch.inference_mode():
        model = random_model(scale, device)
        peak = peak_tflops(scale)
        figures["peak_tflops"] = round(peak, 3)
        print(f"{name}: matrix products reach {figures['peak_tflops']} TFLOP/s")
        figures["rows"] = list(rows(model, scale, peak, trouble))
        figures["of_peak_1024_1024"] = figures["rows"][0]["of_peak"]
        figures["least_against_compiled"] = least(ahead(row["ms"]) for row in figures["rows"])
        figures["curve"] = list(curve(model, scale, trouble))
        error = trouble.tried("packed against alone", partial(packed_error, model, scale))
        figures["packed_against_alone_max_abs"] = finite(error)
        print(f"packed against alone, max abs: {error}")
    if is_dry:
        print("A dry run: the times above mean nothing.")
    if device.type == "cuda" and not trouble.is_lost:
        figures["peak_gb"] = round(torch.cuda.max_memory_allocated(device) / 1e9, 1)
    figures["failed"] = trouble.failed
    figures["seconds"] = round(time.perf_counter() - started, 1)
    tell(figures, () if is_dry else AIMS)


def random_model(scale: Scale, device: torch.device) -> Any:
    """The transformer with random weights, made where it runs."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            model: Any = FluxTransformer2DModel(**scale.config)
    finally:
        torch.set_default_dtype(before)
    return model.eval().requires_grad_(False)


def rows(model: Any, scale: Scale, peak: float, trouble: Trouble) -> Iterator[dict[str, Any]]:
    """One edit at a time, made in every way."""
    ways = ways_of(model, scale)
    shapes = [made(model, scale, *row) for row in ROWS]
    empty = random_model(scale, torch.device("meta"))
    counted = [tflop(empty, each) for each in shapes]
    runs = len(ways) * (scale.warm_ups + scale.repeats)
    print(f"this takes {runs * sum(counted) / (SLOW * peak) / 60:.1f} minutes at most, "
          f"and compilers up to {COMPILING_S / 60:.0f}")  # fmt: skip
    print(f"{'step':<16} {'TFLOP':>8} " + " ".join(f"{way:>18}" for way in ways) + "   of peak")
    for (side, references), it, work in zip(ROWS, shapes, counted, strict=True):
        what = "+".join(str(each) for each in (side, *references))
        taken, apart = compared(scale, what, ways, it, trouble)
        fastest = least(each for way, each in taken.items() if way.startswith("ours"))
        rate = work / (fastest / 1000) if fastest else None
        told = (f"{taken[way]:>15.2f} ms" if way in taken else f"{'failed':>18}" for way in ways)
        of_peak = f"{rate / peak:.0%}" if rate else "-"
        print(f"{what:<16} {work:>8.3f} " + " ".join(told) + f"   {of_peak}")
        yield {"step": what, "tflop": float(f"{work:.3g}"), "ms": taken, "apart": apart,
               "tflops": rate and round(rate, 3),
               "of_peak": rate and round(rate / peak, 3)}  # fmt: skip


def ways_of(model: Any, scale: Scale) -> dict[str, Callable[[Made], Tensor]]:
    """The ways to make a step, all with the same weights."""
    ways: dict[str, Callable[[Made], Tensor]] = {
        "ours": partial(ours, model),
        "ours_compiled": partial(ours, model, blocks=BLOCKS.compiled(**scale.compile_with)),
    }
    model.fuse_qkv_projections()  # beside the others; `theirs` says which are used
    model.compile_repeated_blocks(**scale.compile_with)
    blocks = {it: it._compiled_call_impl for it in model.modules() if it._compiled_call_impl}
    attentions = [it for it in model.modules() if hasattr(it, "fused_projections")]
    for way, is_compiled in (("diffusers", False), ("diffusers_compiled", True)):
        ways[way] = partial(theirs, model, blocks, attentions, is_compiled)
    if scale.graphs_with is not None:  # last: a capture that fails may spoil what comes after it
        ways["ours_graphs"] = partial(ours, model, blocks=BLOCKS.compiled(**scale.graphs_with))
    return ways


def compared(
    scale: Scale,
    what: str,
    ways: Mapping[str, Callable[[Made], Tensor]],
    it: Made,
    trouble: Trouble,
) -> tuple[dict[str, float], dict[str, float | None]]:
    """Milliseconds of a step in each way that works, taken in turns, and how far apart it ends."""
    found: dict[str, Tensor] = {}
    for way, run in ways.items():
        out = trouble.tried(f"{what} {way}", partial(warmed, scale, run, it))
        if out is not None:
            found[way] = out
    taken: dict[str, list[float]] = {way: [] for way in found}
    for _ in range(scale.repeats):
        for way in list(taken):
            ms = trouble.tried(f"{what} {way}", partial(once, scale, partial(ways[way], it)))
            if ms is None:
                del taken[way]
            else:
                taken[way].append(ms)
    stock = found.get("diffusers")
    apart = {
        way: finite(trouble.tried(f"{what} {way} apart", partial(apart_from, stock, out)))
        for way, out in found.items()
        if stock is not None
    }
    return {way: round(statistics.median(each), 3) for way, each in taken.items()}, apart


def warmed(scale: Scale, run: Callable[[Made], Tensor], it: Made) -> Tensor:
    """What a way answers after the runs that warm up."""
    for _ in range(scale.warm_ups):
        out = run(it)
    synchronize(scale.device)
    return out.float()


def apart_from(stock: Tensor, out: Tensor) -> float:
    """The largest difference, as a part of the largest value."""
    return ((out - stock).abs().max() / stock.abs().max()).item()


def finite(number: float | None) -> float | None:
    """As JSON can have it: three digits, or None."""
    return float(f"{number:.3g}") if number is not None and math.isfinite(number) else None


def least(numbers: Iterable[float | None]) -> float | None:
    """The smallest of those that there are."""
    return min((each for each in numbers if each is not None), default=None)


def ahead(ms: Mapping[str, float]) -> float | None:
    """How many times as long compiled diffusers takes as the fastest of ours."""
    fastest = least(each for way, each in ms.items() if way.startswith("ours"))
    return ms["diffusers_compiled"] / fastest if fastest and "diffusers_compiled" in ms else None


def curve(model: Any, scale: Scale, trouble: Trouble) -> Iterator[dict[str, float]]:
    """Steps of several small edits in one pass: what a tick carries and how fast."""
    one = made(model, scale, 256, (256,))
    for count in scale.packs:
        step = partial(together, model, [one] * count)
        taken = trouble.tried(f"{count} in a pass", partial(milliseconds, scale, step))
        if taken is None:
            continue
        tokens = one.tokens * count
        rate = tokens / taken * 1000
        print(f"{count:>3} x 256+256: {tokens:>6} tokens a pass, {taken:>9.2f} ms, {rate:>9.0f}/s")
        yield {
            "requests": count,
            "tokens": tokens,
            "ms": round(taken, 3),
            "tokens_per_s": round(rate),
        }


def packed_error(model: Any, scale: Scale) -> float:
    """The largest difference of a mixed pass to each of its requests alone."""
    mixed = [made(model, scale, *row) for row in ((512, (512,)), (256, ()), (256, (512, 256)))]
    alone = [ours(model, each) for each in mixed]
    return max(
        (one - other).abs().max().item()
        for one, other in zip(together(model, mixed), alone, strict=True)
    )


def made(model: Any, scale: Scale, side: int, references: Sequence[int]) -> Made:
    """A random request of these sides."""
    generator = torch.Generator().manual_seed(side)
    grids = [(each // scale.shrink // 16,) * 2 for each in (side, *references)]
    target, *others = (rows * columns for rows, columns in grids)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(scale.device, torch.bfloat16)

    config = scale.config
    tokens = draw(scale.text_tokens, config["joint_attention_dim"])
    pooled = draw(config["pooled_projection_dim"])
    latents, shown = draw(target, 64), draw(sum(others), 64)
    ids = position_ids(scale.text_tokens, grids[0], grids[1:], layout="offset", origin="corner").to(
        scale.device
    )
    timesteps = torch.linspace(1, 1 / STEPS, STEPS).to(scale.device, torch.bfloat16)
    stock = {
        "hidden_states": torch.cat([latents, shown])[None],
        "encoder_hidden_states": tokens[None],
        "pooled_projections": pooled[None],
        "timestep": timesteps[:1],
        "guidance": torch.full((1,), 2.5, device=scale.device),
        "txt_ids": ids[: scale.text_tokens],
        "img_ids": ids[scale.text_tokens :],
    }
    request = prepare(model, tokens, pooled, shown, ids, timesteps, 2.5)
    return Made(request, latents, stock, len(ids))


def ours(model: Any, it: Made, blocks: Blocks = BLOCKS) -> Tensor:
    """A step of one request by the packed forward."""
    torch.compiler.cudagraph_mark_step_begin()  # lets graphs of the last step be reused
    return velocity(model, blocks, [it.request], [it.latents], [0])[0]


def together(model: Any, pack: Sequence[Made]) -> list[Tensor]:
    """A step of several in one pass."""
    requests, latents = [it.request for it in pack], [it.latents for it in pack]
    return velocity(model, BLOCKS, requests, latents, [0] * len(pack))


def theirs(
    model: Any, blocks: Mapping[Any, Any], attentions: Sequence[Any], is_compiled: bool, it: Made
) -> Tensor:
    """The same step by diffusers' own forward, (target tokens, C): as it comes, or with its blocks
    compiled and its projections fused."""
    for block, compiled in blocks.items():
        block._compiled_call_impl = compiled if is_compiled else None
    for attention in attentions:
        attention.fused_projections = is_compiled
    with cast("Any", shape_config).patch(
        use_duck_shape=True
    ):  # as diffusers compiles, not `Blocks`
        sample: Tensor = model(**it.stock).sample
    return sample[0, : len(it.latents)]


def tflop(model: Any, it: Made) -> float:
    """Matrix products and attention of the stock forward, counted without computing them, by a
    model without numbers."""
    with FlopCounterMode(display=False) as counter:
        model(**{name: tensor.to("meta") for name, tensor in it.stock.items()})
    return float(counter.get_total_flops()) / 1e12


def peak_tflops(scale: Scale) -> float:
    """The best rate of a square matrix product in bfloat16."""
    side = scale.matrix
    one, other = (torch.randn(side, side, device=scale.device).bfloat16() for _ in range(2))
    return 2 * side**3 / 1e9 / milliseconds(scale, lambda: one @ other)


def milliseconds(scale: Scale, run: Callable[[], object]) -> float:
    """The median of some runs after those that warm up."""
    for _ in range(scale.warm_ups):
        run()
    return statistics.median(once(scale, run) for _ in range(scale.repeats))


def once(scale: Scale, run: Callable[[], object]) -> float:
    """The milliseconds of one run, until the device has done it."""
    synchronize(scale.device)
    started = time.perf_counter()
    run()
    synchronize(scale.device)
    return (time.perf_counter() - started) * 1000


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
