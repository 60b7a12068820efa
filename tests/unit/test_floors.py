"""The import rule: floors import downwards only, and what must be absent is absent."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "retouch"

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"__init__", "domain"}),
    frozenset({"ports"}),
    frozenset(
        {
            "settings",
            "logs",
            "folder",
            "store",
            "blobs",
            "net",
            "images",
            "engine",
            "protocols",
            "weights",
        }
    ),
    frozenset({"service"}),
    frozenset({"web", "worker"}),
    frozenset({"bootstrap", "testing", "running"}),
    frozenset({"cli"}),
)
"""Lowest first. Names on one floor never import each other."""


def modules() -> Iterator[tuple[str, str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        yield name, name.split(".")[0], ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def floor_of(part: str) -> int:
    return next(n for n, floor in enumerate(FLOORS) if part in floor)


MODULES = list(modules())


def test_every_top_level_name_has_a_floor() -> None:
    homeless = {part for _, part, _ in MODULES if not any(part in floor for floor in FLOORS)}

    assert homeless == set()


@pytest.mark.parametrize(("name", "part", "tree"), MODULES, ids=[name for name, _, _ in MODULES])
def test_imports_go_down_only(name: str, part: str, tree: ast.Module) -> None:
    upward = [
        target
        for target in imports(tree)
        if target.startswith("retouch.")
        and (other := target.split(".")[1]) != part
        and floor_of(other) >= floor_of(part)
    ]

    assert upward == [], f"{name} may not import {upward}"


def offenders(libraries: set[str], allowed: tuple[str, ...]) -> list[str]:
    return [
        f"{name} imports {target}"
        for name, _, tree in MODULES
        for target in imports(tree)
        if target.split(".")[0] in libraries and not name.startswith(allowed)
    ]


def test_torch_lives_in_model_families_and_nowhere_else() -> None:
    assert offenders({"torch", "diffusers", "transformers"}, ("engine.families",)) == []


def test_http_clients_live_in_net_and_nowhere_else() -> None:
    clients = {"httpx", "httpx2", "httpcore2", "requests", "aiohttp", "urllib3"}

    assert offenders(clients, ("net", "service.relay")) == []


def test_log_lines_go_by_one_road() -> None:
    """By structlog; who else knows of `logging` only sets how much other libraries say."""
    assert offenders({"logging"}, ("logs", "engine.families.quantised")) == []


def test_the_domain_imports_the_standard_library_only() -> None:
    import sys

    outside = [
        f"{name} imports {target}"
        for name, part, tree in MODULES
        if part == "domain"
        for target in imports(tree)
        if target.split(".")[0] not in sys.stdlib_module_names | {"retouch"}
    ]

    assert outside == []


def test_only_settings_reads_the_environment() -> None:
    readers = [
        name
        for name, _, tree in MODULES
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"})
        or (isinstance(node, ast.alias) and node.name in {"environ", "getenv"})
    ]

    assert set(readers) <= {"settings"}


VENDORS = ("replicate", "fal", "wavespeed", "bfl", "openai")


def test_a_vendors_name_stays_in_its_protocol_file() -> None:
    """In no name of ours. Sentences may name a vendor, and so may the list of the protocols."""
    allowed = (*(f"protocols.{vendor}" for vendor in VENDORS), "protocols.__init__")
    found = [
        f"{name}:{node.lineno}"
        for name, _, tree in MODULES
        if not name.startswith(allowed)
        for node in ast.walk(tree)
        for word in words(node)
        if word.lower() in VENDORS
    ]

    assert found == []


def words(node: ast.AST) -> list[str]:
    match node:
        case (
            ast.Name(id=text)
            | ast.Attribute(attr=text)
            | ast.FunctionDef(name=text)
            | ast.AsyncFunctionDef(name=text)
            | ast.ClassDef(name=text)
            | ast.arg(arg=text)
        ):
            return text.split("_")
        case _:
            return []
