"""Finding an address by the host's name and the beginning of its path."""

from typing import Any

import pytest
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from retouch.web.routing import Hosts, Shelves

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


class Named:
    """An app of its own for each path, so that it can be told which was found."""

    def __init__(self, path: str) -> None:
        self.path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await nothing(scope, receive, send)


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

    match, found = Shelves(routes).matches(asked(path))

    assert match is Match.FULL
    assert found == plain[0]


def test_a_host_is_known_by_its_name_in_any_case_and_on_any_port() -> None:
    hosts = Hosts({"api.vendor.test": nothing})

    assert hosts.matches(asked("/", "API.vendor.test:443")) == (
        Match.FULL,
        {"endpoint": nothing},
    )
    assert hosts.matches(asked("/", "vendor.test"))[0] is Match.NONE
