"""The loss curve of a run as a PNG, drawn with Pillow."""

from __future__ import annotations

import json
import math
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = (900, 420)
MARGIN = 50


def plot(log: Path, file: Path) -> None:
    """Draw loss (log scale) over minutes from a JSONL log."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    points = [(line["minutes"], max(line["loss"], 1e-6)) for line in lines]
    picture = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(picture)
    if len(points) > 1:
        last = max(minutes for minutes, _ in points) or 1.0
        low, high = (math.log10(f(loss for _, loss in points)) for f in (min, max))
        span = (high - low) or 1.0

        def place(minutes: float, level: float) -> tuple[float, float]:
            x = MARGIN + (SIZE[0] - 2 * MARGIN) * minutes / last
            return x, MARGIN + (SIZE[1] - 2 * MARGIN) * (high - level) / span

        for part in range(5):
            level = low + span * part / 4
            pen.line([place(0, level), place(last, level)], fill=(220, 220, 220))
            pen.text((4, place(0, level)[1] - 6), f"{10**level:.3f}", fill="black")
            minutes = last * part / 4
            pen.text(
                (place(minutes, low)[0] - 10, SIZE[1] - MARGIN + 8),
                f"{minutes:.0f} min",
                fill="black",
            )
        pen.line(
            [place(minutes, math.log10(loss)) for minutes, loss in points],
            fill=(30, 90, 200),
            width=2,
        )
    picture.save(file)
