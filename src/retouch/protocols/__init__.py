"""The foreign HTTP APIs we speak, each a value without I/O: one file, and one line here."""

from retouch.protocols.base import Dialect
from retouch.protocols.bfl import BFL
from retouch.protocols.replicate import REPLICATE

DIALECTS: tuple[Dialect, ...] = (REPLICATE, BFL)
"""Every protocol served. Where two claim one address, the earlier gets it."""

__all__ = ["DIALECTS", "Dialect"]
