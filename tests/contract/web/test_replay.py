"""Requests in the shape the hosted services record, replayed: the same keys, order and types.

`bench/replay.py` sends the same recordings, or any others, to a real server with curl.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.replay import paths, shape

CASES = json.loads((Path(__file__).parent / "replays.json").read_text())
SAME = ("model", "version", "input", "logs", "output", "data_removed", "error", "status", "metrics")
"""What may not differ even in its value; ids, times and addresses may."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["path"])
async def test_the_answer_has_the_recorded_shape(front: Any, case: dict[str, Any]) -> None:
    answer = await front.client.request(
        case["method"], case["path"], json=case["request"], headers=case["headers"]
    )

    assert answer.status_code == (201 if case["path"].startswith("/replicate/") else 200)
    said = answer.json()
    if "response" in case:
        recorded = case["response"]
        assert shape(said) == shape(recorded)
        same = [name for name in SAME if name in recorded]
        assert {name: said[name] for name in same} == {name: recorded[name] for name in same}
    else:
        assert set(case["response_fields"]) <= set(paths(said))
        assert said["data"]["status"] in case["statuses"]
