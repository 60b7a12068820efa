"""Finding an address among hundreds: by the host's name, and by how the path begins.

Starlette tries its routes one by one. These two try only those that can match, in the same order.
"""

from collections.abc import Mapping, Sequence

from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from retouch.web.auth import host_name
from retouch.web.reading import headers_of


class Hosts(BaseRoute):
    """Whole apps by the name in the Host header."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._apps = apps

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http":
            app = self._apps.get(host_name(headers_of(scope).get("host", "")))
            if app is not None:
                return Match.FULL, {"endpoint": app}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["endpoint"](scope, receive, send)


class Shelves(BaseRoute):
    """Routes by the first segment of their paths and the number of segments.

    A path that matches several goes to the first of them, as in a plain list.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._depth = 1 + max(route.path.count("/") for route in routes)
        heads = {_head(route.path) for route in routes} | {""}
        depths = range(self._depth + 1)
        self._shelves = {(head, depth): list[Route]() for head in heads for depth in depths}
        for route in routes:
            head = _head(route.path)
            for where in heads if head == "" else {head}:
                for depth in depths if ":path}" in route.path else {route.path.count("/")}:
                    self._shelves[where, depth].append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http":
            for route in self._near(scope["path"]):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    return match, found
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["endpoint"](scope, receive, send)

    def _near(self, path: str) -> Sequence[Route]:
        depth = min(path.count("/"), self._depth)
        found = self._shelves.get((_head(path), depth))
        return self._shelves["", depth] if found is None else found


def _head(path: str) -> str:
    """What stands before the second slash; nothing where it is a parameter."""
    head = path[1:].partition("/")[0]
    return "" if "{" in head else head
