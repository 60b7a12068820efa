"""The HTTP face: one set of handlers for every protocol, signed files, health."""

from retouch.web.app import WebOptions, create_app
from retouch.web.services import Services

__all__ = ["Services", "WebOptions", "create_app"]
