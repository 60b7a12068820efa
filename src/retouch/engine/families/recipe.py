"""A checkpoint's recipe: how it wants to be used, from the `retouch.json` beside its weights.

Without the file a checkpoint is used as FLUX.1 Kontext [dev] is (black-forest-labs/flux,
cli_kontext.py; guidance 2.5 as in its documented example).
"""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from retouch.domain.edit import ReferenceLayout
from retouch.domain.geometry import MEGAPIXEL, MULTIPLE
from retouch.engine.families import WeightsError, read_json

ReferenceFit = Literal["own", "target"]
PositionOrigin = Literal["corner", "folded"]


@dataclass(frozen=True, slots=True)
class Skill:
    """An edit a checkpoint was trained for: its name, how many pictures it needs, a way to ask."""

    edit: str
    images: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Defaults and conventions of one checkpoint."""

    name: str
    license: str = "unknown"
    steps: int = 28
    guidance: float | None = 2.5  # None: the checkpoint takes none
    max_sequence_length: int = 512  # T5 tokens, padding included
    area: int = MEGAPIXEL  # pixels of an output whose size nobody chose
    reference_layout: ReferenceLayout = "offset"
    reference_fit: ReferenceFit = "own"  # stretched to its own training size, or as the target
    position_origin: PositionOrigin = "corner"  # folded: outwards from the centre, see positions
    puts_back: bool = True  # after each step of a masked edit what may not change, see inpaint
    vocabulary: tuple[Skill, ...] = ()  # what it can do, for people; empty: anything


def read_recipe(folder: Path, name: str, defaults: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of the weights in a folder; what it leaves open is `defaults`', else Kontext's.

    Raises WeightsError naming the file, the field and what it must be.
    """
    path = folder / "retouch.json"
    given = read_json(path) if path.exists() else {}
    try:
        return parse_recipe({"name": name, **(defaults or {}), **given})
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error


def parse_recipe(values: Mapping[str, Any]) -> Recipe:
    """A recipe from JSON values; raises ValueError naming the field."""
    known = [field.name for field in fields(Recipe)]
    for key in values:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"unknown field {key!r}{hint}")
    for key, rule, is_right in _RULES:
        if key in values and not is_right(values[key]):
            shown = reprlib.repr(values[key])
            raise ValueError(f"{key} is {shown}, must be {rule}")
    vocabulary = tuple(Skill(**skill) for skill in values.get("vocabulary", ()))
    return Recipe(**{**values, "vocabulary": vocabulary})


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_guidance(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (is_number and value >= 0)


def _is_skill(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {field.name for field in fields(Skill)}
        and _is_text(value["edit"])
        and _is_count(value["images"])
        and _is_text(value["example"])
    )


_RULES = (
    ("name", "a name", _is_text),
    ("license", "a name", _is_text),
    ("steps", "a whole number, at least 1", _is_count),
    ("guidance", "a number, at least 0, or null", _is_guidance),
    ("max_sequence_length", "a whole number, at least 1", _is_count),
    (
        "area",
        f"a whole number of pixels, at least {MULTIPLE**2}",
        lambda value: _is_count(value) and value >= MULTIPLE**2,
    ),
    (
        "reference_layout",
        " or ".join(get_args(ReferenceLayout)),
        lambda value: value in get_args(ReferenceLayout),
    ),
    (
        "reference_fit",
        " or ".join(get_args(ReferenceFit)),
        lambda value: value in get_args(ReferenceFit),
    ),
    (
        "position_origin",
        " or ".join(get_args(PositionOrigin)),
        lambda value: value in get_args(PositionOrigin),
    ),
    ("puts_back", "true or false", lambda value: isinstance(value, bool)),
    (
        "vocabulary",
        "a list of objects with edit, images and example",
        lambda value: isinstance(value, list) and all(_is_skill(skill) for skill in value),
    ),
)
