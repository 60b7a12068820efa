"""The foreign HTTP APIs we speak, each a value without I/O: one file, and one line here."""

from retouch.protocols.base import Dialect
from retouch.protocols.bfl import BFL
from retouch.protocols.fal import FAL
from retouch.protocols.openai import OPENAI
from retouch.protocols.replicate import REPLICATE
from retouch.protocols.wavespeed import WAVESPEED

DIALECTS: tuple[Dialect, ...] = (REPLICATE, BFL, WAVESPEED, OPENAI, FAL)
"""Every protocol served. Where two claim one address, the earlier gets it."""

__all__ = ["DIALECTS", "Dialect"]
