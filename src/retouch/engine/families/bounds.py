"""The limits on an edit by FLUX. Each is stated once, and each breach is named."""

from collections.abc import Sequence

from retouch.domain.edit import Edit, Size
from retouch.domain.errors import Violation
from retouch.domain.geometry import MEGAPIXEL, MULTIPLE

MAX_STEPS = 100
MAX_GUIDANCE = 20.0
MAX_SIDE = 4096
MAX_PIXELS = 4 * MEGAPIXEL
MAX_REFERENCES = 8
MIN_REFERENCE_SIDE = 64
MAX_REFERENCE_RATIO = 8  # long side to short side


def violations(edit: Edit, references: int, *, most: int = MAX_REFERENCES) -> tuple[Violation, ...]:
    """Every rule the edit breaks, none when it is fine."""
    found = [
        _outside("steps", edit.steps, 1, MAX_STEPS),
        _outside("guidance", edit.guidance, 0, MAX_GUIDANCE),
    ]
    if edit.size is not None:
        width, height = edit.size.width, edit.size.height
        found.append(_outside("size.width", width, MULTIPLE, MAX_SIDE))
        found.append(_outside("size.height", height, MULTIPLE, MAX_SIDE))
        if width * height > MAX_PIXELS:
            text = f"is {width}x{height}, must have at most {MAX_PIXELS} pixels"
            found.append(Violation("size", "range", text))
    if references > most:
        text = f"has {references} pictures, must have at most {most}"
        found.append(Violation("images", "range", text))
    return tuple(violation for violation in found if violation is not None)


def reference_violations(images: Sequence[Size]) -> list[Violation]:
    """Every rule the pictures of a FLUX.2 edit break by their sizes."""
    found = []
    for number, size in enumerate(images):
        short, long = sorted((size.width, size.height))
        if short < MIN_REFERENCE_SIDE:
            text = f"is {size.width}x{size.height}, sides must be at least {MIN_REFERENCE_SIDE}"
            found.append(Violation(f"images.{number}", "range", text))
        elif long > MAX_REFERENCE_RATIO * short:
            text = (
                f"is {size.width}x{size.height}, its long side must be at most "
                f"{MAX_REFERENCE_RATIO} times its short one"
            )
            found.append(Violation(f"images.{number}", "range", text))
    return found


def _outside(field: str, value: float | None, least: float, most: float) -> Violation | None:
    if value is None or least <= value <= most:
        return None
    return Violation(field, "range", f"is {value}, must be between {least} and {most}")
