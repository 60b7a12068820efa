"""Train nano's transformer: `python -m training.nano.train --minutes 90 --out runs/nano`.

One command from nothing: it makes the picture pool and the text encoders when their folders are
empty, then trains, writing a checkpoint, a JSONL log and a loss plot as it goes. `--resume` goes on
from the checkpoint; with more `--minutes` than before it extends the run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from retouch.engine.families.codec import DctCodec
from training.nano import words as words_
from training.nano.codec_fit import fitted
from training.nano.curriculum import Canvas, canvas, draw, rate, times
from training.nano.edits import BY_NAME, COMPOSITIONS, EDITS, Edit
from training.nano.network import (
    Shape,
    build,
    fold,
    mark_halves,
    pack,
    position_ids,
    rotations,
    velocity,
)
from training.nano.optimiser import optimisers
from training.nano.phrasings import composed_corpus, corpus
from training.nano.pictures import crops, pool
from training.nano.plot import plot


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is told."""

    out: Path
    minutes: float
    resume: bool = False
    device: str = "cpu"
    tokens: int = 4800
    pictures: int = 2400
    per_edit: int = 500
    save_every_s: float = 120.0
    words_steps: int = 1500
    muon: bool = True
    seed: int = 0
    edits: tuple[str, ...] = tuple(edit.name for edit in (*EDITS, *COMPOSITIONS))
    shape: Shape = field(default_factory=Shape)
    weights: Path | None = None  # an exported folder to go on from
    rate: float = 1.0  # times the full learning rates
    centred: Path | None = None  # a transformer trained on centred positions to begin with


@dataclass(frozen=True, slots=True)
class Material:
    """Everything a step draws from: pictures, codec, and the embedded phrasings of every edit."""

    pictures: Tensor
    codec: DctCodec
    pooled: dict[str, Tensor]
    states: dict[str, Tensor]
    weights: Tensor


@dataclass(slots=True)
class Run:
    """The state that a checkpoint holds."""

    model: FluxTransformer2DModel
    average: dict[str, Tensor]
    optimisers: list[torch.optim.Optimizer]
    rng: random.Random
    torch_rng: torch.Generator
    step: int = 0
    samples: int = 0
    elapsed_s: float = 0.0
    errors: dict[str, float] = field(default_factory=dict)


def prepare(options: Options) -> Material:
    """Load or make the pool, the codec and the words under `options.out`, and embed the phrasing
    corpus.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    if options.weights is not None:
        take_over(options.weights, options.out)
    pool_file = options.out / "pool.pt"
    if not pool_file.exists():
        torch.save(pool(options.pictures, options.seed, os.cpu_count() or 1), pool_file)
    pictures = torch.load(pool_file, mmap=True)
    codec_folder = options.out / "vae"
    if not codec_folder.exists():
        fitted(pictures[:256]).save_pretrained(codec_folder)
    codec = DctCodec.from_pretrained(codec_folder)
    if not (options.out / "tokenizer").exists():
        words = words_.train(options.words_steps)
        words_.tune(words, words_.targets(words), options.words_steps).save(options.out)
    words = words_.load(options.out)
    pooled, states = {}, {}
    texts = defaultdict[str, list[str]](list)
    for name, text in (
        *corpus(options.per_edit, options.seed + 1),
        *composed_corpus(options.per_edit // 6, options.seed + 1),
    ):
        texts[name].append(text)
    for name in options.edits:
        pooled[name], states[name] = words.embed(texts[name])
    deviation = torch.tensor(codec.config.scales).repeat_interleave(4)
    return Material(pictures, codec, pooled, states, deviation / deviation.mean())


def take_over(weights: Path, out: Path) -> None:
    """Copy the codec and the words of exported weights, but for those that `out` has already."""
    for name in ("vae", *words_.Words.FOLDERS):
        if not (out / name).exists():
            shutil.copytree(weights / name, out / name)


def start(options: Options) -> Run:
    """A new run, or the one in the checkpoint when resuming."""
    torch.manual_seed(options.seed)
    model = build(options.shape)
    if options.weights is not None:
        model = FluxTransformer2DModel.from_pretrained(options.weights / "transformer")
    if options.centred is not None:
        model = FluxTransformer2DModel.from_pretrained(options.centred)
        fold(model)
        mark_halves(model)
    model = model.to(options.device)
    run = Run(
        model,
        {name: value.detach().clone() for name, value in model.state_dict().items()},
        optimisers(model, options.muon),
        random.Random(options.seed),  # noqa: S311  repeatable draws
        torch.Generator().manual_seed(options.seed),
    )
    checkpoint = options.out / "checkpoint.pt"
    if options.resume and checkpoint.exists():
        restore(run, torch.load(checkpoint, map_location=options.device, weights_only=False))
    return run


def restore(run: Run, saved: dict[str, Any]) -> None:
    """Put a checkpoint's contents into `run`."""
    run.model.load_state_dict(saved["model"])
    run.average = saved["average"]
    for optimiser, state in zip(run.optimisers, saved["optimisers"], strict=True):
        optimiser.load_state_dict(state)
    run.rng.setstate(saved["rng"])
    run.torch_rng.set_state(saved["torch_rng"].cpu())
    run.step, run.samples, run.elapsed_s = saved["step"], saved["samples"], saved["elapsed_s"]
    run.errors = saved["errors"]


def save(run: Run, out: Path) -> None:
    """Write the checkpoint beside the old one, then swap; and the averaged weights as a loadable
    folder.
    """
    saved = {
        "model": run.model.state_dict(),
        "average": run.average,
        "optimisers": [optimiser.state_dict() for optimiser in run.optimisers],
        "rng": run.rng.getstate(),
        "torch_rng": run.torch_rng.get_state(),
        "step": run.step,
        "samples": run.samples,
        "elapsed_s": run.elapsed_s,
        "errors": run.errors,
    }
    torch.save(saved, out / "checkpoint.new")
    (out / "checkpoint.new").replace(out / "checkpoint.pt")
    averaged = FluxTransformer2DModel.from_config(run.model.config)
    averaged.load_state_dict(run.average)
    averaged.save_pretrained(out / "transformer")


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's tensors: clean target tokens, reference tokens, text, and the edit of every
    row.
    """

    target: Tensor
    references: list[Tensor]
    states: Tensor
    pooled: Tensor
    edits: list[Edit]


@torch.no_grad()
def batch(material: Material, shape: Canvas, edits: list[Edit], run: Run) -> Batch:
    """Cut pictures, apply the edits exactly, encode, and pick a phrasing for each row."""
    pictures = [
        crops(material.pictures, shape.count, shape.height, shape.width, run.torch_rng)
        for _ in range(shape.images)
    ]
    answers = torch.empty_like(pictures[0])
    for edit in dict.fromkeys(edits):
        rows = [row for row, other in enumerate(edits) if other is edit]
        # `edits` is sorted, so the rows of one edit lie together and a slice copies nothing.
        span = slice(rows[0], rows[-1] + 1)
        answers[span] = edit.raw([picture[span] for picture in pictures])
    lines = [run.rng.randrange(len(material.pooled[edit.name])) for edit in edits]
    states = torch.stack(
        [material.states[edit.name][line] for edit, line in zip(edits, lines, strict=True)]
    )
    pooled = torch.stack(
        [material.pooled[edit.name][line] for edit, line in zip(edits, lines, strict=True)]
    )
    encoded = [
        pack(material.codec.encode(2 * x - 1).latent_dist.mode()) for x in (answers, *pictures)
    ]
    return Batch(encoded[0], encoded[1:], states, pooled, edits)


def train_step(run: Run, material: Material, options: Options, progress: float) -> float:
    """One update; answers the weighted loss."""
    vocabulary = [BY_NAME[name] for name in options.edits]
    shape = canvas(progress, run.rng, options.tokens)
    edits = draw(
        [edit for edit in vocabulary if edit.images == shape.images],
        run.errors,
        shape.count,
        run.rng,
    )
    made = batch(material, shape, edits, run)
    time_ = times(edits, run.torch_rng)
    noise = torch.randn(made.target.shape, generator=run.torch_rng)
    device = options.device
    target, noise, time_ = made.target.to(device), noise.to(device), time_.to(device)
    spread = time_[:, None, None]
    noisy = (1 - spread) * target + spread * noise
    ids = position_ids(shape.height // 16, shape.width // 16, shape.images)
    turns = rotations(ids, made.states.shape[1]).to(device)
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        guess = velocity(
            run.model,
            noisy,
            [x.to(device) for x in made.references],
            made.states.to(device),
            made.pooled.to(device),
            time_,
            turns,
        )
    miss = (guess.float() - (noise - target)).square()
    loss = (miss * material.weights.to(device)).mean()
    warm_up = 100 if options.weights is None else 30
    for optimiser in run.optimisers:
        for group in optimiser.param_groups:
            group["lr"] = options.rate * group["peak"] * rate(progress, run.step, warm_up)
        optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    for optimiser in run.optimisers:
        optimiser.step()
    _follow(run)
    _note_errors(run, made.edits, miss.detach(), time_, material)
    run.step += 1
    run.samples += shape.count
    return loss.item()


@torch.no_grad()
def _follow(run: Run) -> None:
    keep = min(0.999, (1 + run.step) / (10 + run.step))
    for name, value in run.model.state_dict().items():
        run.average[name].lerp_(value, 1 - keep)


def _note_errors(
    run: Run, edits: list[Edit], miss: Tensor, time_: Tensor, material: Material
) -> None:
    """Running mean square error of the predicted clean pixels (in [-1, 1]) for each edit."""
    deviation = torch.tensor(material.codec.config.scales).repeat_interleave(4).to(miss.device)
    pixels = (miss * deviation.square()).mean((1, 2)) * time_.square() * len(deviation) / (3 * 256)
    for edit, value in zip(edits, pixels.tolist(), strict=True):
        old = run.errors.get(edit.name, value)
        run.errors[edit.name] = 0.97 * old + 0.03 * value


def train(options: Options) -> Run:
    """The whole run."""
    material = prepare(options)
    run = start(options)
    log = options.out / "log.jsonl"
    if not options.resume:
        log.unlink(missing_ok=True)
    losses: list[float] = []
    saved_at = mark = time.monotonic()
    # What goes on from trained weights begins at the middle of the curriculum.
    begin = 0.5 if options.weights is not None else 0.0
    while run.elapsed_s < 60 * options.minutes:
        progress = begin + (1 - begin) * run.elapsed_s / (60 * options.minutes)
        losses.append(train_step(run, material, options, progress))
        now = time.monotonic()
        run.elapsed_s += now - mark
        mark = now
        if run.step % 25 == 0:
            _tell(run, losses, log)
            losses = []
        if now - saved_at > options.save_every_s:
            _keep(run, options.out, log)
            saved_at = now
    _keep(run, options.out, log)
    return run


def _keep(run: Run, out: Path, log: Path) -> None:
    save(run, out)
    if log.exists():  # not before step 25
        plot(log, out / "loss.png")


def _tell(run: Run, losses: list[float], log: Path) -> None:
    loss = sum(losses) / len(losses)
    line = {
        "step": run.step,
        "samples": run.samples,
        "minutes": round(run.elapsed_s / 60, 2),
        "loss": round(loss, 5),
        "errors": {name: round(value, 6) for name, value in run.errors.items()},
    }
    with log.open("a") as file:
        file.write(json.dumps(line) + "\n")
    worst = sorted(run.errors, key=lambda name: -run.errors[name])[:3]
    print(
        f"step {run.step}  samples {run.samples}  {run.elapsed_s / 60:.1f} min  loss {loss:.4f}  "
        + ", ".join(f"{name} {run.errors[name]:.4f}" for name in worst),
        flush=True,
    )


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train nano's transformer.")
    parser.add_argument("--out", type=Path, default=Path("runs/nano"))
    parser.add_argument(
        "--minutes", type=float, default=90.0, help="length of the whole run; drives every schedule"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--weights", type=Path, help="exported weights to go on from")
    parser.add_argument(
        "--centred", type=Path, help="folder of a transformer trained on centred positions"
    )
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda")
    )
    parser.add_argument(
        "--tokens", type=int, default=None, help="tokens a step (default 4800, 60000 on CUDA)"
    )
    parser.add_argument("--pictures", type=int, default=2400, help="size of the procedural pool")
    parser.add_argument("--adamw", action="store_true", help="AdamW for every parameter, no Muon")
    parser.add_argument(
        "--rate", type=float, default=1.0, help="times the full learning rates; less to go on"
    )
    parser.add_argument("--drop", nargs="*", default=[], help="single edits not to train on")
    parser.add_argument("--single", type=int, default=4, help="single-stream blocks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-edit", type=int, default=500, help="phrasings an edit")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    tokens = given.tokens or (60_000 if given.device == "cuda" else 4800)
    train(
        Options(
            given.out,
            given.minutes,
            given.resume,
            given.device,
            tokens,
            given.pictures,
            weights=given.weights,
            centred=given.centred,
            per_edit=given.per_edit,
            rate=given.rate,
            edits=tuple(
                edit.name for edit in (*EDITS, *COMPOSITIONS) if edit.name not in given.drop
            ),
            muon=not given.adamw,
            seed=given.seed,
            shape=Shape(single=given.single),
        )
    )


if __name__ == "__main__":
    main()
