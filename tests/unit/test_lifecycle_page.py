"""docs/lifecycle.md names a test for each thing that may happen; they must exist."""

import re
from pathlib import Path

import pytest

from retouch.domain.failure import FailureKind

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "lifecycle.md").read_text()
TABLE = PAGE.split("## What happens when")[1].split("\n## ")[0]
STORE = "tests/contract/store"
NAMED = re.findall(r"(?:`(tests/[\w/]+)`: )?`(test_\w+)`", TABLE)


@pytest.mark.parametrize(("folder", "name"), NAMED)
def test_a_named_test_exists(folder: str, name: str) -> None:
    files = (ROOT / (folder or STORE)).glob("test_*.py")

    assert any(re.search(rf"^(async )?def {name}\(", it.read_text(), re.MULTILINE) for it in files)


def test_every_kind_of_failure_is_told() -> None:
    told = re.findall(r"^\| `(\w+)` \|", PAGE.split("## Why it failed")[1], re.MULTILINE)

    assert told == [kind.value for kind in FailureKind]


def test_the_table_was_found() -> None:
    assert len(NAMED) >= 25
