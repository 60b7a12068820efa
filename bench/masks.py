"""What a masked edit is worth: put back after every step, or only laid over at the end.

    python bench/masks.py [--quick] [--pictures FOLDER]

What nano's edits do to pixels is known exactly, so each row says how near the part that may change
comes to that (PSNR): in the middle of the mask and in the 8 pixels at its border, for an edit of
the whole picture that is laid over the original (`laid over`) and for one whose latents are put
back after every step and which is laid over just so (`put back`). Outside of the mask both have the
original's own pixels: `outside_max` is the largest difference there, of 255.

`--pictures` keeps what was compared: original, laid over, put back, exact.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from shared.aims import Aim, tell

from retouch.domain.edit import Edit, MaskImage, Size, UrlImage
from retouch.domain.picture import Mask, Picture
from retouch.engine.families import load_family
from retouch.images.masked import Masked

PHOTOS = Path(__file__).parents[1] / "examples" / "photos"
NAMES = ("cat", "astronaut", "coffee")
SIDE = 256
BORDER = 8
LUMA = np.array([0.299, 0.587, 0.114])
AIMS = (Aim("outside_max", "<=", 0),)
WAYS = ("laid over", "put back")


@dataclass(frozen=True, slots=True)
class Known:
    """An edit of nano's: how to ask for it, and what it does to pixels in [0, 1]."""

    prompt: str
    exact: Callable[[Any], Any]


EDITS = (
    Known("make it black and white", lambda x: np.repeat((x @ LUMA)[..., None], 3, axis=2)),
    Known("mirror it", lambda x: x[:, ::-1]),
    Known("invert the colours", lambda x: 1 - x),
    Known("make it brighter", lambda x: 0.6 * x + 0.4),
    Known("make it darker", lambda x: 0.5 * x),
    Known("swap the red and blue channels", lambda x: x[..., ::-1]),
)


def main() -> None:
    """Print the table, then the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one photo, two edits")
    parser.add_argument("--pictures", type=Path, help="where to keep what was compared")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # small tensors lose to threads, and a second core may be busy
    started = time.perf_counter()
    edits, names = (EDITS[:2], NAMES[:1]) if arguments.quick else (EDITS, NAMES)
    bench = Bench(names, arguments.pictures)

    heads = (f"{way}: middle, border" for way in WAYS)
    print(f"{'edit':<32}" + "".join(f"{head:>28}" for head in heads))
    rows = []
    for edit in edits:
        rows.append(bench.row(edit))
        shown = (f"{middle:.1f} dB, {border:.1f} dB" for middle, border in rows[-1])
        print(f"{edit.prompt:<32}" + "".join(f"{text:>28}" for text in shown))
    means = np.mean(rows, axis=0).round(2).tolist()
    figures: dict[str, Any] = {"quick": arguments.quick, "outside_max": bench.outside}
    for way, (middle, border) in zip(WAYS, means, strict=True):
        name = way.replace(" ", "_")
        figures |= {f"{name}_middle_db": middle, f"{name}_border_db": border}
    figures["seconds"] = round(time.perf_counter() - started, 1)
    tell(figures, AIMS)


class Bench:
    """nano, some photos and a disc that may change, whose border lies across latents."""

    def __init__(self, names: Sequence[str], keep: Path | None) -> None:
        self.outside = 0  # the largest difference seen there
        self._keep = keep
        self._family: Any = load_family("nano")
        self._photos = {name: photo(name) for name in names}
        disc = Image.new("L", (SIDE, SIDE))
        ImageDraw.Draw(disc).ellipse((61, 50, 190, 203), fill=255)
        self._mask = Mask(SIDE, SIDE, disc.tobytes())
        inner = disc.filter(ImageFilter.MinFilter(2 * BORDER + 1))
        self._middle, self._all = np.asarray(inner) > 0, np.asarray(disc) > 0

    def row(self, edit: Known) -> list[list[float]]:
        """For both ways, decibels in the middle and at the border, averaged over the photos."""
        found = [self._compared(edit, name) for name in self._photos]
        mean: list[list[float]] = np.mean(found, axis=0).tolist()
        return mean

    def _compared(self, edit: Known, name: str) -> list[list[float]]:
        original = self._photos[name]
        exact = edit.exact(array(original) / 255).clip(0, 1) * 255
        results = []
        for mask in (None, self._mask):
            made = self._edited(edit.prompt, original, mask)
            results.append(array(Masked(original, self._mask).restored(made)))
        for result in results:
            apart = np.abs(result - array(original))[~self._all]
            self.outside = max(self.outside, int(apart.max()))
        if self._keep:
            shown = [array(original), *results, exact]
            self._keep.mkdir(parents=True, exist_ok=True)
            file = self._keep / f"{edit.prompt.replace(' ', '-')}-{name}.png"
            Image.fromarray(np.hstack(shown).round().astype(np.uint8)).save(file)
        places = (self._middle, self._all & ~self._middle)
        return [[psnr(result[it] - exact[it]) for it in places] for result in results]

    def _edited(self, prompt: str, picture: Picture, mask: Mask | None) -> Picture:
        """An edit of the whole picture, or one that is put back outside of a mask."""
        self._family.recipe = replace(self._family.recipe, puts_back=True)  # which nano's denies
        said = None if mask is None else MaskImage(UrlImage(""), "white")
        edit, images = Edit(prompt=prompt, seed=1, mask=said), [replace(picture, mask=mask)]
        session = self._family.open(self._family.plan(edit, [Size(SIDE, SIDE)], 1), edit, images)
        while session.index < session.plan.steps:
            self._family.step([session])
        made: Picture = self._family.close(session)
        return made


def photo(name: str) -> Picture:
    """One of the examples, cut to a square."""
    with Image.open(PHOTOS / f"{name}.jpg") as image:
        square = ImageOps.fit(image.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
    return Picture(SIDE, SIDE, square.tobytes())


def array(picture: Picture) -> Any:
    """Pixels as numbers that may be subtracted, (h, w, 3)."""
    flat = np.frombuffer(picture.data, dtype=np.uint8)
    return flat.reshape(SIDE, SIDE, 3).astype(np.int32)


def psnr(apart: Any) -> float:
    """Decibels, from differences of 255."""
    return 10 * math.log10(255**2 / float((apart**2).mean()))


if __name__ == "__main__":
    main()
