"""What every protocol value promises the generic handlers."""

import ast
from pathlib import Path

import pytest

from retouch.protocols import DIALECTS, Dialect
from retouch.protocols.base import Verb
from retouch.web.handlers import HANDLERS

FOLDER = Path(__file__).parents[3] / "src" / "retouch" / "protocols"


def test_every_verb_has_a_handler() -> None:
    assert set(HANDLERS) == set(Verb)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda it: it.name)
def test_no_address_is_listed_twice(dialect: Dialect) -> None:
    addresses = [(route.method, route.path) for route in dialect.routes]

    assert len(addresses) == len(set(addresses))


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda it: it.name)
def test_a_models_fields_are_numbered_and_its_required_ones_exist(dialect: Dialect) -> None:
    for model in dialect.models:
        properties = model.schema["properties"]
        orders = [rules["x-order"] for rules in properties.values()]
        assert sorted(orders) == list(range(len(orders)))
        assert set(model.schema["required"]) <= set(properties)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda it: it.stem)
def test_a_protocol_is_a_value(path: Path) -> None:
    """No async, no clock, no input or output."""
    tree = ast.parse(path.read_text())
    imported = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }

    assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree))
    assert not imported & {"asyncio", "time", "random", "secrets", "os", "socket", "pathlib"}
