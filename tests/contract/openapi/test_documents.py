"""The OpenAPI documents: whole, well-formed, and true to every golden answer.

The golden pairs of `../protocols` are what we really say; here each must be what we promised.
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from retouch.protocols import DIALECTS, Dialect
from retouch.protocols.base import OPEN_VERBS
from retouch.protocols.openapi import openapi, operations_of
from retouch.web import WebOptions

GOLDEN = Path(__file__).parents[1] / "protocols"
ORIGIN = "https://edit.example"
each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda it: it.name)

Operations = list[tuple[str, str, dict[str, Any]]]


@lru_cache
def document(dialect: Dialect) -> dict[str, Any]:
    return openapi(dialect, ORIGIN)


def operations(dialect: Dialect) -> Operations:
    """Every operation: its method, its path, and what is told of it."""
    return [
        (word.removeprefix("x-").upper(), path, told)
        for path, item in document(dialect)["paths"].items()
        for word, told in item.items()
    ]


@each_dialect
def test_every_route_is_in_the_document_and_nothing_else(dialect: Dialect) -> None:
    of_routes = {
        (route.method, path)
        for route in dialect.routes
        for path, _ in operations_of(dialect, route)
    }

    assert of_routes == {(method, path) for method, path, _ in operations(dialect)}
    named = {f"{route.method} {route.path}" for route in dialect.routes}
    assert set(dialect.description.operations) == named


@each_dialect
def test_a_filled_in_path_is_an_address_of_its_route(dialect: Dialect) -> None:
    for route in dialect.routes:
        pattern = re.sub(r"\{\w+\}", "[^/]+", re.sub(r"\{\w+:path\}", ".+", route.path))
        for path, _ in operations_of(dialect, route):
            assert re.fullmatch(pattern, path), (route.path, path)


@each_dialect
def test_every_schema_is_a_schema_and_every_reference_leads_somewhere(dialect: Dialect) -> None:
    sheet = document(dialect)
    schemas = sheet["components"]["schemas"]

    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    refs = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(sheet)))
    assert refs <= set(schemas)
    assert set(schemas) - refs == set(), "never used"


@each_dialect
def test_names_are_unique_and_every_place_in_a_path_is_a_parameter(dialect: Dialect) -> None:
    names = [told["operationId"] for _, _, told in operations(dialect)]

    assert len(names) == len(set(names))
    for _, path, told in operations(dialect):
        placed = [it["name"] for it in told["parameters"] if it["in"] == "path"]
        assert placed == re.findall(r"\{(\w+)\}", path)


@each_dialect
def test_only_addresses_with_their_own_permission_are_open(dialect: Dialect) -> None:
    tags = {told["tags"][0] for _, _, told in operations(dialect) if told.get("security") == []}

    assert tags <= {verb.value for verb in OPEN_VERBS} | {"describe"}


@each_dialect
def test_whoever_must_bring_a_key_is_told_so(dialect: Dialect) -> None:
    for _, path, told in operations(dialect):
        refused = {"401", "403"} & told["responses"].keys()
        assert bool(refused) is (told.get("security") != []), path


# -- the golden pairs ----------------------------------------------------------------------------

VERBS = {"stream": None, "notification": None}  # not JSON; not an answer


def pairs(kind: str) -> list[Any]:
    return [
        pytest.param(dialect, pair, id=f"{dialect.name}: {pair['it']}")
        for dialect in DIALECTS
        for pair in json.loads((GOLDEN / dialect.name / f"{kind}.json").read_text())
        if pair.get("verb") not in VERBS
    ]


def found(dialect: Dialect, pair: dict[str, Any], verb: str) -> list[dict[str, Any]]:
    """The operation of a pair's address; without one, every operation of its verb."""
    method, path = address(dialect, pair.get("call", {}), verb)
    at = [
        told
        for word, template, told in operations(dialect)
        if word == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
    ]
    return at[:1] or [told for _, _, told in operations(dialect) if verb in told["tags"]]


def address(dialect: Dialect, call: dict[str, Any], verb: str) -> tuple[str, str]:
    """The method and the path of a pair's call; a pair may tell only what stands in the path."""
    if "path" in call:
        path = str(call["path"]).removeprefix(call.get("mount", "/v1"))
        return call.get("method", "POST"), path
    params = call.get("params", {})
    told = (it for it in dialect.routes if it.verb == verb)
    filled = (it for it in told if set(re.findall(r"\{(\w+)\}", it.path)) == params.keys())
    return next(((it.method, it.path.format(**params)) for it in filled), ("", ""))


def faults(dialect: Dialect, reply: dict[str, Any], body: Any) -> list[str]:
    """What is wrong with a body, by the schema of the reply's first media type."""
    schema = next(iter(reply["content"].values()))["schema"]
    whole = {**schema, "components": document(dialect)["components"]}
    return [
        f"{list(it.absolute_path)}: {it.message}"
        for it in Draft202012Validator(whole).iter_errors(body)
    ]


@pytest.mark.parametrize(("dialect", "pair"), pairs("renders"))
def test_a_rendered_answer_is_as_promised(dialect: Dialect, pair: dict[str, Any]) -> None:
    promised = found(dialect, pair, pair["verb"])

    assert promised
    for told in promised:
        reply = told["responses"][str(pair["answer"]["status"])]
        assert faults(dialect, reply, pair["answer"]["body"]) == []


@pytest.mark.parametrize(("dialect", "pair"), [*pairs("errors"), *pairs("refusals")])
def test_an_error_is_as_promised(dialect: Dialect, pair: dict[str, Any]) -> None:
    answer, about = pair["answer"], dialect.description
    at = found(dialect, pair, "")
    if at and str(answer["status"]) in at[0]["responses"]:
        reply = at[0]["responses"][str(answer["status"])]
    else:  # it has no address of its own: any may answer so
        said = about.refusals.get(answer["status"], about.refusal)
        reply = {"content": {media: {"schema": it} for media, it in said.content.items()}}

    assert faults(dialect, reply, answer["body"]) == []


BEYOND = {"numbers, flags and choices may come in the other's clothes"}
"""What is understood and not promised: bounds of numbers written as text have no schema."""


@pytest.mark.parametrize(("dialect", "pair"), pairs("parse"))
def test_a_body_that_is_understood_keeps_the_promised_rules(
    dialect: Dialect, pair: dict[str, Any]
) -> None:
    if pair["call"].get("parts") or pair["it"] in BEYOND:
        return  # a form has no types
    (told,) = found(dialect, pair, "submit")

    content = {"json": told["requestBody"]["content"]["application/json"]}
    assert faults(dialect, {"content": content}, pair["call"]["body"]) == []


# -- serving them --------------------------------------------------------------------------------


@each_dialect
async def test_a_document_is_served_without_a_key(front: Any, dialect: Dialect) -> None:
    await front.key()

    answer = await front.client.get(f"/{dialect.name}/openapi.json")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == json.loads(json.dumps(openapi(dialect, "http://127.0.0.1:8787")))


async def test_its_servers_are_under_the_origin_the_caller_used(new_front: Any) -> None:
    async with new_front().serving() as front, front.caller(base_url="https://gpu.lan") as client:
        used = (await client.get("/wavespeed/openapi.json")).json()["servers"]
    async with new_front(WebOptions(public_url="https://edit.example/")).serving() as front:
        public = (await front.client.get("/wavespeed/openapi.json")).json()["servers"]

    assert used[0] == {"url": "https://gpu.lan/api/v3"}
    assert public[0] == {"url": "https://edit.example/api/v3"}


@each_dialect
async def test_a_vendors_own_host_serves_its_document_alone(front: Any, dialect: Dialect) -> None:
    host = min(dialect.hosts)
    other = next(it for it in DIALECTS if it is not dialect)

    async with front.caller(base_url=f"https://{host}") as client:
        mine = await client.get(f"/{dialect.name}/openapi.json")
        another = await client.get(f"/{other.name}/openapi.json")

    assert mine.status_code == 200
    assert another.status_code == 404


@each_dialect
async def test_the_first_server_answers_for_this_protocol(front: Any, dialect: Dialect) -> None:
    sheet = (await front.client.get(f"/{dialect.name}/openapi.json")).json()
    server = sheet["servers"][0]["url"]

    refused = await front.client.request("BREW", server + min(sheet["paths"]).replace("{", ""))

    (schema,) = dialect.description.refusal.content.values()
    assert refused.status_code == 405
    assert faults(dialect, {"content": {"": {"schema": schema}}}, refused.json()) == []
