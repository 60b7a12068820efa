"""Judge a checkpoint on photographs and phrasings it never saw: `python -m training.nano.evaluate
--weights DIR`.

For every declared edit it prints PSNR against the exact result, the codec's ceiling (the exact
result encoded and decoded), the gap between them, and how often the nearest exact result of the
whole vocabulary is the one asked for. `--composed` judges two edits in one sentence, and there the
nearest is sought among all single edits and all compositions. `--typed` asks in other words, as
people type them, and with `--composed` for sixty of the compositions. `--told` judges the
transformer alone: it is told each edit by what its encoders should have answered. The last line is
one JSON object with the same figures.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from training.nano.edits import BY_NAME, COMPOSITIONS, EDITS, Edit
from training.nano.phrasings import HELD_OUT, held_out_compositions
from training.nano.sampling import Nano, edit, load
from training.nano.typed import TYPED, TYPED_COMPOSITIONS
from training.nano.words import T5_LENGTH, Targets, Words, targets

SIZES = ((256, 256), (288, 224))
LARGER = ((384, 384), (512, 384), (512, 512))
"""Larger than what it makes unasked: judged with one phrasing an edit."""
PHOTOGRAPHS = ("astronaut", "cat", "coffee")

Texts = Callable[[Edit], Sequence[str]]
"""The phrasings by which an edit is asked for."""


@dataclass(frozen=True, slots=True)
class Score:
    """One edit at one size, averaged over samples; decibels, and a rate from 0 to 1."""

    edit: str
    size: str
    psnr: float
    ceiling: float
    gap: float
    right: float
    samples: int


def photographs(folder: Path, width: int, height: int) -> list[Tensor]:
    """The bundled photographs as (1, 3, h, w) in [0, 1], resized to cover and cropped at the
    centre.
    """
    return [fit(Image.open(folder / f"{name}.jpg"), width, height) for name in PHOTOGRAPHS]


def fit(picture: Image.Image, width: int, height: int) -> Tensor:
    """Lanczos to cover (width, height), centre crop to exactly that: (1, 3, h, w) in [0, 1]."""
    scale = max(width / picture.width, height / picture.height)
    size = (max(width, round(picture.width * scale)), max(height, round(picture.height * scale)))
    covered = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    cropped = covered.crop((left, top, left + width, top + height))
    return torch.from_numpy(np.asarray(cropped).copy()).permute(2, 0, 1)[None].float() / 255


def psnr(error: float) -> float:
    """Decibels of a mean square error on [0, 1]."""
    return -10 * math.log10(max(error, 1e-10))


def phrasings_of(asked: Edit) -> Sequence[str]:
    """The held-out phrasings of an edit or a composition."""
    return held_out_compositions(asked.name) if asked.parts else HELD_OUT[asked.name]


def typed(asked: Edit) -> Sequence[str]:
    """How people type an edit or a composition; nothing where no such phrasing was written."""
    return (TYPED_COMPOSITIONS if asked.parts else TYPED).get(asked.name, ())


def judge(
    nano: Nano,
    edits: Sequence[Edit],
    sizes: Sequence[tuple[int, int]],
    steps: int,
    phrasings: int | None = None,
    rivals: Sequence[Edit] = (),
    texts: Texts = phrasings_of,
) -> list[Score]:
    """Scores for every edit at every (width, height), by the first `phrasings` of its `texts`.

    The right edit is the nearest of `edits` and `rivals`.
    """
    scores = []
    for width, height in sizes:
        photos = photographs(Path("examples/photos"), width, height)
        pairs = [[photo, photos[(number + 1) % len(photos)]] for number, photo in enumerate(photos)]
        answers = [[other.exact(pair) for other in (*edits, *rivals)] for pair in pairs]
        scores += [
            _judge_one(nano, number, edits, pairs, answers, steps, texts(asked)[:phrasings])
            for number, asked in enumerate(edits)
        ]
    return scores


@torch.no_grad()
def _judge_one(
    nano: Nano,
    number: int,
    edits: Sequence[Edit],
    pairs: list[list[Tensor]],
    answers: list[list[Tensor]],
    steps: int,
    texts: Sequence[str],
) -> Score:
    asked = edits[number]
    # Every phrasing once, the photographs in turn.
    rows = [(text, (place + number) % len(pairs)) for place, text in enumerate(texts)]
    references = [torch.cat([pairs[photo][k] for _, photo in rows]) for k in range(asked.images)]
    made = edit(nano, [text for text, _ in rows], references, steps)
    gained, ceiling, right = 0.0, 0.0, 0
    for picture, (_, photo) in zip(made, rows, strict=True):
        errors = [float((picture - answer[0]).square().mean()) for answer in answers[photo]]
        exact = answers[photo][number]
        restored = (nano.codec(2 * exact - 1) / 2 + 0.5).clamp(0, 1)
        gained += psnr(errors[number]) / len(rows)
        ceiling += psnr(float((restored - exact).square().mean())) / len(rows)
        right += min(range(len(errors)), key=errors.__getitem__) == number
    height, width = made.shape[-2:]
    return Score(
        asked.name,
        f"{width}x{height}",
        round(gained, 2),
        round(ceiling, 2),
        round(ceiling - gained, 2),
        round(right / len(rows), 4),
        len(rows),
    )


def table(scores: Sequence[Score]) -> str:
    """A readable table, one line an edit and size."""
    lines = [f"{'edit':26} {'size':8} {'PSNR':>6} {'ceiling':>8} {'gap':>6} {'right':>6} {'of':>3}"]
    lines += [
        f"{s.edit:26} {s.size:8} {s.psnr:6.2f} {s.ceiling:8.2f} {s.gap:6.2f} {s.right:6.0%} "
        f"{s.samples:3d}"
        for s in scores
    ]
    return "\n".join(lines)


def summary(scores: Sequence[Score]) -> dict[str, object]:
    """The figures over all edits: the right-edit rate, the worst and the mean gap."""
    total = sum(s.samples for s in scores)
    return {
        "right_edit_rate": round(sum(s.right * s.samples for s in scores) / total, 4),
        "worst_gap_db": max(s.gap for s in scores),
        "mean_gap_db": round(sum(s.gap for s in scores) / len(scores), 2),
        "edits": len({s.edit for s in scores}),
        "samples": total,
    }


def contact_sheet(
    nano: Nano,
    edits: Sequence[Edit],
    steps: int,
    file: Path,
    side: int = 160,
    texts: Texts = phrasings_of,
) -> None:
    """A PNG of each edit: nano's answer on a photograph by the first of its `texts`, and the exact
    result.
    """
    photos = photographs(Path("examples/photos"), 256, 256)
    columns = 4
    rows = math.ceil(len(edits) / columns)
    sheet = Image.new("RGB", (columns * (2 * side + 8), rows * (side + 18)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, asked in enumerate(edits):
        pair = [photos[number % 3], photos[(number + 1) % 3]][: asked.images]
        made = edit(nano, [texts(asked)[0]], pair, steps)
        left, top = (number % columns) * (2 * side + 8), (number // columns) * (side + 18)
        pen.text((left, top + 2), f"{asked.name} (nano, exact)", fill="black")
        for place, picture in enumerate((made, asked.exact(pair))):
            array = (picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            small = Image.fromarray(array).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(small, (left + place * side, top + 16))
    sheet.save(file)


@dataclass(frozen=True, slots=True)
class Told:
    """Stands in for the words of a checkpoint: every phrasing becomes the target of its edit, as if
    the encoders had understood it perfectly.
    """

    targets: Targets
    edits: dict[str, str]  # by phrasing

    @classmethod
    def of(cls, words: Words, edits: Sequence[Edit], texts: Texts) -> Told:
        """The targets of `words`, for the `texts` of `edits`."""
        return cls(
            targets(words, per_edit=60),
            {text: asked.name for asked in edits for text in texts(asked)},
        )

    def embed(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Pooled (n, 128) and states (n, 32, 128), as `Words.embed`."""
        rows = [self.targets.names.index(self.edits[text]) for text in texts]
        states = self.targets.states[rows][:, None].expand(-1, T5_LENGTH, -1)
        return self.targets.pooled[rows], states


def declared(folder: Path) -> list[Edit]:
    """The vocabulary that `retouch.json` declares, or all edits when there is none yet."""
    recipe = folder / "retouch.json"
    if not recipe.exists():
        return list(EDITS)
    return [BY_NAME[entry["edit"]] for entry in json.loads(recipe.read_text())["vocabulary"]]


def composed(edits: Sequence[Edit]) -> list[Edit]:
    """The compositions whose both parts are among `edits`."""
    names = {edit.name for edit in edits}
    return [edit for edit in COMPOSITIONS if names.issuperset(edit.parts)]


def main() -> None:
    """Read the command line, judge, print."""
    parser = argparse.ArgumentParser(description="Judge a nano checkpoint on photographs.")
    parser.add_argument("--weights", type=Path, default=Path("src/retouch/weights/nano"))
    parser.add_argument(
        "--steps", type=int, default=None, help="sampler steps (default: the recipe's, else 6)"
    )
    parser.add_argument("--quick", action="store_true", help="one phrasing an edit, one size")
    parser.add_argument(
        "--larger", action="store_true", help="one phrasing an edit, sizes up to 512x512"
    )
    parser.add_argument(
        "--composed", action="store_true", help="two edits in one sentence, one phrasing each"
    )
    parser.add_argument(
        "--typed", action="store_true", help="other phrasings, as people type them, at one size"
    )
    parser.add_argument(
        "--told",
        action="store_true",
        help="the text encoders' targets in place of what they make of a phrasing",
    )
    parser.add_argument("--all", action="store_true", help="every edit, declared or not")
    parser.add_argument(
        "--sheet", type=Path, default=None, help="also write a contact sheet PNG here"
    )
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    nano = load(given.weights)
    recipe = given.weights / "retouch.json"
    steps = given.steps or (json.loads(recipe.read_text())["steps"] if recipe.exists() else 6)
    edits = list(EDITS) if given.all else declared(given.weights)
    rivals: list[Edit] = []
    if given.composed:
        edits, rivals = composed(edits), edits
    texts = phrasings_of
    if given.typed:
        texts = typed
        rivals = [*rivals, *(edit for edit in edits if not typed(edit))]
        edits = [edit for edit in edits if typed(edit)]
    if given.told:
        nano = replace(nano, words=Told.of(nano.words, edits, texts))
    one_size = given.quick or given.composed or given.typed
    sizes = LARGER if given.larger else SIZES[:1] if one_size else SIZES
    one_phrasing = given.quick or given.larger or (given.composed and not given.typed)
    scores = judge(nano, edits, sizes, steps, 1 if one_phrasing else None, rivals, texts)
    print(table(scores))
    if given.sheet:
        contact_sheet(nano, edits, steps, given.sheet, texts=texts)
    print(
        json.dumps(
            {"steps": steps, **summary(scores), "scores": [asdict(score) for score in scores]}
        )
    )


if __name__ == "__main__":
    main()
