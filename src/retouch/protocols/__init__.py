"""The foreign HTTP APIs we speak, each a value without I/O: one file, and one word here."""

from importlib import import_module

from retouch.protocols.dialect import Dialect

NAMES = ("replicate", "bfl", "wavespeed", "openai", "fal")
"""The modules; each ends in a value of its own name in capitals."""

DIALECTS: tuple[Dialect, ...] = tuple(
    getattr(import_module(f"{__name__}.{name}"), name.upper()) for name in NAMES
)
"""Every protocol served. Where two claim one address, the earlier gets it."""

__all__ = ["DIALECTS", "Dialect"]
