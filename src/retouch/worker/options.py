"""What a worker's owner may set."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """A worker's clocks, in seconds, and the most that it decodes."""

    lease_s: float = 10.0
    beat_s: float = 0.5
    poll_s: float = 1.0  # between looks at the table when nothing wakes the worker
    drain_s: float = 20.0  # running edits get this long after a stop was asked for
    retry_s: float = 0.5  # pause after the store or the blobs failed
    blob_tries: int = 20
    preview_s: float = 5.0  # a preview that takes longer to store is left out
    max_pixels: int = 100_000_000  # of one prediction's pictures together
