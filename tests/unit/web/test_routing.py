"""Finding an address by the host's name and the beginning of its path."""

from typing import Any

import pytest
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from retouch.web.routing import LONGEST_KEPT, Hosts, Shelves

PATHS = (
    "/things",
    "/v1/things",
    "/v1/things/part-{ticket}",
    "/v1/things/{id}",
    "/{kind}/things/{id}",
    "/apps/{name:path}/runs/{id}",
    "/apps/{name:path}",
    "/{rest:path}",
)


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that never answers."""


async def no_body() -> Message:
    raise AssertionError("nobody reads it")


async def ignored(message: Message) -> None:
    raise AssertionError("nobody answers")


class Named:
    """An app of its own for each path, which knows what it was asked."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.seen: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope)


def asked(path: str, host: str = "here") -> Scope:
    headers = [(b"host", host.encode())]
    return {"type": "http", "method": "GET", "path": path, "headers": headers}


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/things", "/v1/things", "/v1/things/7", "/v1/things/part-7", "/v2/things/7"),
        *("/apps/a", "/apps/a/b/c", "/apps/a/b/runs/7", "/{kind}/things/7", "/unknown/x/y/z/w"),
        "/a/b/c/d/e/f/g/h/i/j",
    ],
)
def test_what_is_found_is_the_first_that_matches_in_a_plain_list(path: str) -> None:
    routes = [Route(it, Named(it)) for it in PATHS]
    plain: list[dict[str, Any]] = [
        dict(found)
        for match, found in (route.matches(asked(path)) for route in routes)
        if match is Match.FULL
    ]

    app, params = Shelves(routes, nothing).find(path)

    assert {"endpoint": app, "path_params": params} == plain[0]


def test_what_matches_nothing_goes_to_the_last_resort() -> None:
    shelves = Shelves([Route(it, Named(it)) for it in PATHS[:4]], nothing)

    assert [shelves.find(it) for it in ("/nothing", "/a\nb")] == [(nothing, {})] * 2


@pytest.mark.parametrize("path", ["/v1/things/7", "/v1/things/" + "7" * LONGEST_KEPT])
async def test_a_path_is_found_as_well_the_second_time(path: str) -> None:
    named = Named("/v1/things/{id}")
    shelves = Shelves([Route(named.path, named)], nothing)

    for _ in range(2):
        await shelves(asked(path), no_body, ignored)

    assert [it["path_params"] for it in named.seen] == [{"id": path[11:]}] * 2


async def test_a_host_is_known_by_its_name_in_any_case_and_on_any_port() -> None:
    vendor, other = Named("vendor"), Named("other")
    hosts = Hosts({"api.vendor.test": vendor}, other)

    await hosts(asked("/", "API.vendor.test:443"), no_body, ignored)
    assert (len(vendor.seen), len(other.seen)) == (1, 0)
    await hosts(asked("/", "vendor.test"), no_body, ignored)
    assert (len(vendor.seen), len(other.seen)) == (1, 1)
