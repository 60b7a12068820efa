"""The engine: jobs in, one denoising step at a time, pictures out.

`StepEngine` drives any family of `retouch.engine.families`; `load_family` makes one.
"""

from retouch.engine.engine import StepEngine
from retouch.engine.families import load_family, load_memory

__all__ = ["StepEngine", "load_family", "load_memory"]
