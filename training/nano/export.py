"""Lay a trained run out as the weights folder that the product ships: Hugging Face layout, recipe,
model card.

`python -m training.nano.export --run runs/nano --out src/retouch/weights/nano`. What a run did not
make, as `words` alone makes no transformer, stays as it is in the folder, and without a transformer
the declared edits stay too. The card's scores come from `evaluate`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from training.nano.card import RUN, card
from training.nano.edits import EDITS, Edit
from training.nano.evaluate import (
    LARGER,
    SIZES,
    composed,
    declared,
    judge,
    summary,
    table,
    typed,
)
from training.nano.phrasings import EXAMPLES
from training.nano.sampling import load
from training.nano.words import T5_LENGTH

FOLDERS = ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
MODEL_INDEX = {
    "_class_name": "FluxKontextPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["retouch.engine.families.codec", "DctCodec"],
}
WEIGHTS_LIMIT_BYTES = 40_000_000


def recipe(edits: Sequence[Edit], steps: int) -> dict[str, object]:
    """`retouch.json`: what the server must know to run these weights as they were trained."""
    return {
        "name": "nano",
        "license": "Apache-2.0",
        "steps": steps,
        "guidance": None,
        "max_sequence_length": T5_LENGTH,
        "area": 65536,
        "reference_layout": "index",
        "reference_fit": "target",
        "position_origin": "folded",
        "puts_back": False,
        "vocabulary": [
            {"edit": edit.name, "images": edit.images, "example": EXAMPLES[edit.name]}
            for edit in edits
        ],
    }


def export(run: Path, out: Path, edits: Sequence[Edit], steps: int) -> None:
    """Copy the components that the run made, write the scheduler, the index and the recipe.

    Raises `ValueError` when the run made none.
    """
    made = [name for name in FOLDERS if (run / name).exists()]
    if not made:
        raise ValueError(f"{run} has none of {', '.join(FOLDERS)}")
    out.mkdir(parents=True, exist_ok=True)
    for name in made:
        shutil.rmtree(out / name, ignore_errors=True)
        shutil.copytree(run / name, out / name)
    # FLUX.1's constants: black-forest-labs/flux `src/flux/sampling.py`, get_schedule.
    FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000,
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    ).save_pretrained(out / "scheduler")
    (out / "model_index.json").write_text(json.dumps(MODEL_INDEX, indent=2) + "\n")
    (out / "retouch.json").write_text(json.dumps(recipe(edits, steps), indent=2) + "\n")
    size = sum(file.stat().st_size for file in out.rglob("*.safetensors"))
    if size > WEIGHTS_LIMIT_BYTES:
        raise ValueError(f"the weights take {size} bytes, more than {WEIGHTS_LIMIT_BYTES}")


def last_line(run: Path, page: Path) -> dict[str, str]:
    """Steps, samples and minutes of the transformer: of the run's log, or else as the card of the
    weights already says.
    """
    log = run / "log.jsonl"
    if log.exists():
        line = json.loads(log.read_text().splitlines()[-1])
        return {key: str(line[key]) for key in ("step", "samples", "minutes")}
    found = RUN.search(page.read_text()) if page.exists() else None
    if found is None:
        raise ValueError(f"{log} does not exist, and {page} tells no run of the transformer")
    return found.groupdict()


def main() -> None:
    """Read the command line, export, evaluate, write the card."""
    parser = argparse.ArgumentParser(description="Export a nano run as a weights folder.")
    parser.add_argument("--run", type=Path, default=Path("runs/nano"))
    parser.add_argument("--out", type=Path, default=Path("src/retouch/weights/nano"))
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--drop", nargs="*", default=[], help="edits to leave undeclared")
    parser.add_argument("--quick", action="store_true", help="a quick evaluation for the card")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    edits = [edit for edit in EDITS if edit.name not in given.drop]
    if not (given.run / "transformer").exists():
        edits = declared(given.out)
    page = given.out / "README.md"
    log = last_line(given.run, page)
    export(given.run, given.out, edits, given.steps)
    nano = load(given.out)
    scores = judge(nano, edits, SIZES, given.steps, 1 if given.quick else None)
    larger = judge(nano, edits, LARGER, given.steps, 1)
    doubled = judge(nano, composed(edits), SIZES[:1], given.steps, 1, edits)
    judged = [edit for edit in composed(edits) if typed(edit)]
    rivals = [edit for edit in composed(edits) if not typed(edit)]
    asked = (
        judge(nano, edits, SIZES[:1], given.steps, texts=typed),
        judge(nano, judged, SIZES[:1], given.steps, rivals=[*edits, *rivals], texts=typed),
    )
    print(table([*scores, *larger, *doubled, *asked[0], *asked[1]]))
    page.write_text(card(edits, scores, larger, doubled, asked, given.steps, log))
    print(json.dumps(summary(scores)))


if __name__ == "__main__":
    main()
