"""The model card that is written beside the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from training.nano.edits import BY_NAME, EDITS, Edit
from training.nano.evaluate import Score, summary
from training.nano.phrasings import EXAMPLES, HELD_OUT


def card(
    edits: Sequence[Edit],
    scores: Sequence[Score],
    larger: Sequence[Score],
    doubled: Sequence[Score],
    asked: tuple[Sequence[Score], Sequence[Score]],
    steps: int,
    log: Mapping[str, str],
) -> str:
    """Markdown with front matter, from the declared edits, their scores, those at larger sizes,
    those of compositions, those of both as people type them, and what the run's log says last.
    """
    found = summary(scores)
    sections = [
        HEAD,
        "## What it can do\n\n" + _vocabulary(edits),
        "## How well\n\n" + MEASURED.format(steps=steps, **found) + "\n\n" + _scores(scores),
        "## Two edits in one sentence\n\n"
        + TWO.format(**_kinds(doubled), **summary(doubled))
        + "\n\n"
        + _by_arrangement(doubled),
        "## As people type\n\n" + _as_typed(*asked),
        "## Larger pictures\n\n" + LARGER + "\n\n" + _by_size(larger),
        "## How it was made\n\n" + MADE.format(**log),
        "## Limits\n\n" + _unlearned(edits) + LIMITS,
        "## Make it again, or better\n\n" + AGAIN,
    ]
    return "\n\n".join(sections) + "\n"


def _vocabulary(edits: Sequence[Edit]) -> str:
    lines = ["| edit | images | for example | or, never seen in training |", "|---|---|---|---|"]
    lines += [
        f"| {e.name} | {e.images} | {EXAMPLES[e.name]} | {HELD_OUT[e.name][0]} |" for e in edits
    ]
    return "\n".join(lines)


def _unlearned(edits: Sequence[Edit]) -> str:
    names = [edit.name for edit in EDITS if edit not in edits]
    if not names:
        return ""
    return f"- Trained for, not learned, and so not declared: {'; '.join(names)}.\n"


def _scores(scores: Sequence[Score]) -> str:
    lines = ["| edit | size | PSNR | ceiling | gap | right edit |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {s.edit} | {s.size} | {s.psnr:.1f} | {s.ceiling:.1f} | {s.gap:.1f} | {s.right:.0%} |"
        for s in scores
    ]
    return "\n".join(lines)


def _by_size(scores: Sequence[Score]) -> str:
    lines = ["| size | right edit | gap on average | at worst |", "|---|---|---|---|"]
    for size in dict.fromkeys(score.size for score in scores):
        found = summary([score for score in scores if score.size == size])
        worst = max((score for score in scores if score.size == size), key=lambda it: it.gap)
        lines.append(
            f"| {size} | {found['right_edit_rate']:.0%} of {found['samples']} "
            f"| {found['mean_gap_db']} dB | {worst.gap} dB ({worst.edit}) |"
        )
    return "\n".join(lines)


def _kinds(scores: Sequence[Score]) -> dict[str, str]:
    parts = [BY_NAME[score.edit].parts for score in scores]
    looks, arrangements = ("; ".join(dict.fromkeys(names)) for names in zip(*parts, strict=True))
    return {"looks": looks, "arrangements": arrangements}


def _by_arrangement(scores: Sequence[Score]) -> str:
    lines = ["| a look and | right edit | gap on average | at worst |", "|---|---|---|---|"]
    for name in dict.fromkeys(BY_NAME[score.edit].parts[1] for score in scores):
        own = [score for score in scores if BY_NAME[score.edit].parts[1] == name]
        found, worst = summary(own), max(own, key=lambda it: it.gap)
        lines.append(
            f"| {name} | {found['right_edit_rate']:.0%} of {found['samples']} "
            f"| {found['mean_gap_db']} dB | {worst.gap} dB ({BY_NAME[worst.edit].parts[0]}) |"
        )
    return "\n".join(lines)


def _as_typed(single: Sequence[Score], double: Sequence[Score]) -> str:
    lines = ["| asked for | right edit | gap on average | at worst |", "|---|---|---|---|"]
    for title, scores in (("one edit", single), ("two edits", double)):
        found, worst = summary(scores), max(scores, key=lambda it: it.gap)
        lines.append(
            f"| {title} | {found['right_edit_rate']:.1%} of {found['samples']} "
            f"| {found['mean_gap_db']} dB | {worst.gap} dB ({worst.edit}) |"
        )
    return TYPED_TOO + "\n\n" + "\n".join(lines)


RUN = re.compile(
    r"- Run: (?P<step>\d+) steps, (?P<samples>\d+) samples, (?P<minutes>[\d.]+) minutes"
)
"""What a card says of the run of its transformer."""

HEAD = """\
---
license: apache-2.0
library_name: diffusers
pipeline_tag: image-to-image
---

# nano

A picture editor small enough to ship: FLUX.1 Kontext's architecture (`FluxTransformer2DModel`,
references in context, rectified flow) with a few million parameters, trained from nothing on
pictures that a program drew. It edits real photographs by text, within the vocabulary below,
and claims nothing beyond it. The weights are this project's own and carry its licence,
Apache-2.0."""

MEASURED = """\
On photographs it was not trained on, with phrasings held out of training, {steps} Euler steps,
{samples} samples in all. PSNR is against the exact result of the edit; the ceiling is that exact
result through the codec, the best any weights could do; right edit is how often, of the exact
results of all edits judged, the asked one is the nearest. The aim is a gap of at most 6 dB.

Right edit {right_edit_rate:.1%} over {samples} samples of {edits} edits; gap to the ceiling
{mean_gap_db} dB on average, {worst_gap_db} dB at worst."""

TWO = """\
One look and one arrangement can be asked for together, in either order: "make it black and white
and mirror it", "put the first image on the left and the second on the right, in sepia".

- Looks: {looks}.
- Arrangements: {arrangements}.

A held-out phrasing each, at 256x256 (`evaluate --composed`); right edit here means nearer to
the exact result than to that of any other composition or of any single edit. Right edit
{right_edit_rate:.1%} over {samples} samples of {edits} compositions; gap to the ceiling
{mean_gap_db} dB on average, {worst_gap_db} dB at worst."""

TYPED_TOO = """\
Other phrasings, written as people type, with short forms and slips, in sentences that the training
phrasings do not have: eight of each edit, and two each of sixty compositions, at 256x256
(`evaluate --typed` and `evaluate --composed --typed`):"""

LARGER = """\
It makes about 256x256 when nobody asks for a size, and most of its training was at that or less. At
larger sizes, which it has seen too, one held-out phrasing an edit (`evaluate --larger`):"""

MADE = """\
- Pictures: procedural dead leaves (gradients, shapes, stripes, 1/f textures). No photograph was
  seen in training.
- Codec (`vae`): 8x8 DCT of YCbCr, the first 16 + 4 + 4 coefficients as 24 unit-variance
  channels, nothing learned. Behind the decoder, residual convolutions (0.3 M parameters) guess
  what was cut and smooth over the transformer's mistakes: 25 minutes on one CPU core, on the
  same kind of pictures, after the transformer.
- Text: tokenizers and two encoders of two layers, trained first as classifiers of the edits
  over a generated corpus of phrasings; then, for two edits in one sentence, towards the sum of
  what they say for each of the two (`words.tune`); then frozen while the transformer learned.
  After it, behind new tokenizers and with several times as many ways to say each edit (`frames`),
  they went on towards the same targets for 1,700 steps of 48 texts. The transformer stayed as it
  was.
- Transformer: 1 double and 4 single blocks, 8 heads of 32. Position ids are folded about the
  centre of the picture, so that a mirror image means the same at every size.
- Objective: rectified-flow velocity, noise levels drawn towards pure noise, coefficients
  weighted by their deviation.
- Run: {step} steps, {samples} samples, {minutes} minutes on one shared CPU core, going on from
  the weights before with half the learning rates. Four samples of ten were compositions; a fifth
  of the steps were at 384x384 to 512x512. A running average of the weights is stored.
- The weights before: 800 steps (32,495 samples, 35 minutes on two cores) of single edits at up to
  288x224; before that 950 steps (31,265 samples, 46 minutes) had counted positions from the
  centre without folding them, which did not learn to move things (`--centred` took that
  transformer over). At step 291 of the 800 the heads that tell the halves apart were set
  (`network.mark_halves`), and at about step 550 pairs of images got a larger share."""

LIMITS = """\
- The vocabulary is closed: any other wish gets the nearest edit it knows.
- Two edits in one sentence must be a look and an arrangement. Two looks or two arrangements give
  one of them, or something between, and of three edits at most two are done.
- About one such pair in eleven comes out as another edit. Inverting together with mirror, upside
  down or half turn is learned worst.
- The codec drops fine detail: expect soft textures, and at times the blocks of a compressed JPEG.
- References are cropped to the shape of the result. Every reference beyond the second is
  unknown ground.
- English only."""

AGAIN = """\
```
python -m training.nano.train --minutes 90 --out runs/nano
python -m training.nano.export --run runs/nano
python -m training.nano.detail --minutes 25
python -m training.nano.evaluate
python -m training.nano.evaluate --composed
```

`--resume` goes on where a run stopped, and with more `--minutes` extends it; every schedule
follows the time it is given. On a CUDA device it trains in bf16 with larger batches.

To go on from the weights that ship, without the checkpoint of their run:

```
python -m training.nano.train --weights src/retouch/weights/nano --rate 0.5 --minutes 60 \\
  --out runs/nano
python -m training.nano.export --run runs/nano
```

To teach the encoders more phrasings, for a transformer that stays as it is:

```
python -m training.nano.words --weights src/retouch/weights/nano --out runs/words
python -m training.nano.export --run runs/words
```

Before they learned these phrasings, the encoders got 97.7% of the single edits above and 83.3% of
the compositions right, at 2.5 and 6.91 dB, and as people type 85.3% and 90.0%, at 5.65 and 5.71 dB.
At the larger sizes they were 0.1 to 0.3 dB nearer. Half turns lose by it, whose target is farther
from what the transformer does best than their phrasings were.
What is left still lies in the text first: told every edit by its target instead of a phrasing
(`evaluate --composed --told`), the transformer makes the right one of 98.3% of the 180
compositions, at 4.6 dB on average and 12.05 dB at worst (invert and half turn). The targets of
T5's states are all but the same for a pair in either order, so that only the pooled row tells
"first left, second right" from its reverse."""
