"""Finding an address among hundreds: by the host's name, and by how the path begins and ends.

Starlette tries its routes one by one. Here only those are tried that can match, in the same order,
and what was found is kept, as callers ask for the same few paths again and again.
"""

from collections.abc import Awaitable, Mapping, Sequence
from functools import lru_cache

from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from retouch.web.names import host_name
from retouch.web.reading import headers_of

KEPT_PATHS = 4096
LONGEST_KEPT = 200  # characters


class Hosts:
    """Whole apps by the name in the Host header, and one for every other name."""

    def __init__(self, apps: Mapping[str, ASGIApp], otherwise: ASGIApp) -> None:
        self._apps, self._otherwise = apps, otherwise

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        name = host_name(headers_of(scope).get("host", ""))
        return self._apps.get(name, self._otherwise)(scope, receive, send)


class Shelves:
    """Routes by the first and the last segment of their paths and the number of segments.

    A path that matches several goes to the first of them, as in a plain list; one that matches
    none goes to `otherwise`.
    """

    def __init__(self, routes: Sequence[Route], otherwise: ASGIApp) -> None:
        self._routes, self._otherwise = routes, otherwise
        self._depth = 1 + max(route.path.count("/") for route in routes)
        self._heads = {_head(route.path) for route in routes}
        self._tails = {_tail(route.path) for route in routes}
        self._shelves: dict[tuple[str, int, str], Sequence[Route]] = {}
        self._kept = lru_cache(maxsize=KEPT_PATHS)(self.find)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path = scope["path"]
        find = self._kept if len(path) <= LONGEST_KEPT else self.find
        app, scope["path_params"] = find(path)
        return app(scope, receive, send)

    def find(self, path: str) -> tuple[ASGIApp, Mapping[str, str]]:
        """The app at a path, and the path's parameters."""
        asked = {"type": "http", "method": "GET", "path": path}
        for route in self._near(path):
            match, found = route.matches(asked)
            if match is Match.FULL:
                return found["endpoint"], found["path_params"]
        return self._otherwise, {}

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
