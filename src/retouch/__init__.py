"""Self-hosted image editing from text instructions."""

__version__ = "0.1.0"
