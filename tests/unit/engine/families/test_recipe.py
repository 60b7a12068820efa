import json

import pytest

from retouch.engine.families import WeightsError
from retouch.engine.families.recipe import Recipe, Skill, parse_recipe, read_recipe


def test_without_a_file_a_checkpoint_is_used_as_kontext_is(tmp_path):
    recipe = read_recipe(tmp_path, "kontext")

    assert recipe == Recipe(
        name="kontext",
        steps=28,
        guidance=2.5,
        max_sequence_length=512,
        area=1024 * 1024,
        reference_layout="offset",
        reference_fit="own",
        position_origin="corner",
    )


def test_a_file_states_what_differs(tmp_path):
    sepia = {"edit": "sepia", "images": 1, "example": "make it sepia"}
    values = {"steps": 8, "guidance": None, "reference_layout": "index", "vocabulary": [sepia]}
    (tmp_path / "retouch.json").write_text(json.dumps(values))

    recipe = read_recipe(tmp_path, "mine")

    assert recipe == Recipe(
        name="mine",
        steps=8,
        guidance=None,
        reference_layout="index",
        vocabulary=(Skill("sepia", 1, "make it sepia"),),
    )


def test_an_unknown_field_is_named_with_a_suggestion(tmp_path):
    (tmp_path / "retouch.json").write_text('{"step": 8}')

    with pytest.raises(WeightsError, match=r"retouch\.json: unknown field 'step'; did you mean"):
        read_recipe(tmp_path, "mine")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("steps", 0),
        ("steps", True),
        ("guidance", "high"),
        ("guidance", -1),
        ("max_sequence_length", 1.5),
        ("area", 100),
        ("reference_layout", "diagonal"),
        ("reference_fit", "crop"),
        ("position_origin", "centre"),
        ("puts_back", 1),
        ("vocabulary", "sepia"),
        ("vocabulary", [{"edit": "sepia"}]),
    ],
)
def test_a_malformed_value_is_named(field, value):
    with pytest.raises(ValueError, match=f"^{field} is .* must be"):
        parse_recipe({"name": "mine", field: value})
