"""The bytes of pictures and uploads, under keys."""

from retouch.blobs.store import ObstoreBlobs

__all__ = ["ObstoreBlobs"]
