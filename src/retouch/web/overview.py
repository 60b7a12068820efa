"""What whoever opens the server's own address is shown: which protocols it speaks, and where."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import Response

import retouch
from retouch.protocols import Dialect


def overview(dialects: Sequence[Dialect], origin: str) -> Response:
    """The addresses under an origin, as JSON that a person can read. Nothing of any caller's."""
    found = {
        "name": "retouch",
        "version": retouch.__version__,
        "description": "Image editing from text instructions, behind the hosted APIs.",
        "protocols": {it.name: _protocol(it, origin) for it in dialects},
        "health": {name: f"{origin}/{name}" for name in ("livez", "startupz", "readyz")},
        "figures": f"{origin}/metrics",
        "documentation": "docs/ of the project; docs/clients.md points each official client here",
    }
    shown = msgspec.json.format(msgspec.json.encode(found), indent=2)
    return Response(shown + b"\n", media_type="application/json")


def _protocol(dialect: Dialect, origin: str) -> dict[str, Any]:
    return {
        "title": dialect.description.title,
        "base_urls": [origin + mount for mount in dialect.mounts],
        "openapi": f"{origin}/{dialect.name}/openapi.json",
    }
