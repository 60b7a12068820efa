"""Doubles that ship with retouch: a clock that stands still and a store that lives in memory.

`MemoryStore` passes the same conformance suite as the SQL store, so a test written against it
holds against a database. It forgets everything when the process ends.
"""

from retouch.testing.clock import FakeClock
from retouch.testing.store import MemoryStore

__all__ = ["FakeClock", "MemoryStore"]
