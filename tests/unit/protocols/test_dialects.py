"""What every protocol value promises the generic handlers."""

import ast
from pathlib import Path

import pytest

from retouch.domain.edit import Edit
from retouch.domain.failure import BLOCKED, Failure, FailureKind
from retouch.domain.prediction import Prediction, Status
from retouch.protocols import DIALECTS, Dialect
from retouch.protocols.base import Call, Verb, View
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


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda it: it.name)
def test_every_kind_of_failure_is_told(dialect: Dialect, kind: FailureKind) -> None:
    failed = Prediction(
        id="p",
        owner="me",
        protocol=dialect.name,
        model="a/b",
        input={},
        edit=Edit(prompt="x"),
        created_at=0.0,
        status=Status.FAILED,
        failure=Failure(kind, "This is why."),
    )

    answer = dialect.status(Call(method="GET", path="/p"), View(prediction=failed, input={}))

    has_own_words = dialect.name == "replicate" and kind in BLOCKED
    assert ("This is why." in str(answer.body)) is not has_own_words


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
