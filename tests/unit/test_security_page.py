"""docs/security.md names the tests that keep its promises; here is checked that they exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
PROMISES = PAGE.split("## Promises")[1].split("## Fuzzing")[0]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PROMISES)


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text())
    found = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in found)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_exists(file: str, name: str) -> None:
    assert name in names_in(file)


def test_every_promise_names_a_test() -> None:
    rows = [line for line in PROMISES.splitlines() if line.startswith("|")]
    promises = [row for row in rows if not row.startswith(("| promise", "|---"))]

    assert len(promises) >= 40
    assert [row for row in promises if not re.search(r"::\w+` \|$", row)] == []
    assert PROMISES.count("::") == len(NAMED)


def test_the_commands_it_names_are_there() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert set(re.findall(r"`make ([\w-]+)`", PAGE)) <= set(targets)


def test_pages_it_points_to_are_there() -> None:
    for link in re.findall(r"\]\((\w[\w./-]+\.md)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
