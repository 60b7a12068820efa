"""How far a picture is: when a preview is due, and the line that tells it."""


def previews_due(step: int, steps: int, previews: int) -> int:
    """How many of a picture's previews its steps so far have earned: they come evenly between the
    first step and the last, which has the picture itself.

    >>> [previews_due(step, 8, 3) for step in range(9)]
    [0, 0, 1, 1, 2, 2, 3, 3, 0]
    """
    return 0 if step == steps else step * (previews + 1) // steps


def progress_line(step: int, steps: int, elapsed_s: float) -> str:
    """A line as tqdm prints it, which clients of hosted APIs parse for the percentage.

    >>> progress_line(4, 8, 1.0)
    ' 50%|█████     | 4/8 [00:01<00:01,  4.00it/s]'
    """
    bar = "█" * (10 * step // steps)
    counts = f"{100 * step // steps:3d}%|{bar:<10}| {step}/{steps}"
    if elapsed_s <= 0:
        return f"{counts} [00:00<?, ?it/s]"
    rate = step / elapsed_s
    speed = f"{rate:5.2f}it/s" if rate >= 1 else f"{1 / rate:5.2f}s/it"
    return f"{counts} [{_clock_face(elapsed_s)}<{_clock_face((steps - step) / rate)}, {speed}]"


def _clock_face(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"
