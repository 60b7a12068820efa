"""Finding an address among hundreds: by the host's name, and by how the path begins and ends.

Starlette tries its routes one by one. These two try only those that can match, in the same order.
"""

from collections.abc import Mapping, Sequence

from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from retouch.web.names import host_name
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
    """Routes by the first and the last segment of their paths and the number of segments.

    A path that matches several goes to the first of them, as in a plain list.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._depth = 1 + max(route.path.count("/") for route in routes)
        self._heads = {_head(route.path) for route in routes}
        self._tails = {_tail(route.path) for route in routes}
        self._shelves: dict[tuple[str, int, str], Sequence[Route]] = {}

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
        head, tail = _head(path), _tail(path)
        shelf = (
            head if head in self._heads else "",
            min(path.count("/"), self._depth),
            tail if tail in self._tails else "",
        )
        found = self._shelves.get(shelf)
        if found is None:  # all there can be: what no route names is no name here
            found = self._shelves[shelf] = [it for it in self._routes if _may_match(it, *shelf)]
        return found


def _head(path: str) -> str:
    """What stands before the second slash; nothing where it is a parameter."""
    head = path[1:].partition("/")[0]
    return "" if "{" in head else head


def _tail(path: str) -> str:
    """What stands behind the last slash; nothing where a parameter is in it."""
    tail = path.rpartition("/")[2]
    return "" if "{" in tail else tail


def _may_match(route: Route, head: str, depth: int, tail: str) -> bool:
    is_deep_enough = ":path}" in route.path or route.path.count("/") == depth
    return is_deep_enough and _head(route.path) in ("", head) and _tail(route.path) in ("", tail)
