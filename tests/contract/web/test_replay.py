"""Requests in the shape the hosted service records, replayed: the same keys, order and types."""

import json
from pathlib import Path
from typing import Any

import pytest

CASES = json.loads((Path(__file__).parent / "replays.json").read_text())


def shape(value: Any) -> Any:
    """A value with its leaves replaced by their types; the order of keys is kept."""
    if isinstance(value, dict):
        return [(name, shape(item)) for name, item in value.items()]
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["path"])
async def test_the_answer_has_the_recorded_shape(front: Any, case: dict[str, Any]) -> None:
    answer = await front.client.request(
        case["method"], case["path"], json=case["request"], headers=case["headers"]
    )

    assert answer.status_code == 201
    said, recorded = answer.json(), case["response"]
    assert shape(said) == shape(recorded)
    same = ("model", "version", "input", "logs", "output", "data_removed", "error", "status")
    assert {name: said[name] for name in same} == {name: recorded[name] for name in same}
