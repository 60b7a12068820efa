"""The seams: what the floors above may ask of a store, blobs, a fetcher, an engine and a clock.

Each port is a few verbs. One conformance suite per port runs over every implementation.
"""

from retouch.ports.blobs import Blobs
from retouch.ports.clock import Clock
from retouch.ports.courier import Courier, Receipt, Undelivered
from retouch.ports.engine import (
    Broken,
    Engine,
    EngineEvent,
    Family,
    Finished,
    Job,
    Memory,
    Plan,
    Previewed,
    Stepped,
)
from retouch.ports.files import File, Files
from retouch.ports.keys import Key, Keys
from retouch.ports.outbox import (
    Delivered,
    Delivery,
    DeliveryState,
    GiveUp,
    Outbox,
    Outcome,
    Postpone,
    Retry,
)
from retouch.ports.pictures import Decoder, Fetcher
from retouch.ports.roster import Enlisted, ProcessKind, Roster
from retouch.ports.safety import PictureCheck, PromptCheck
from retouch.ports.store import ONCE_WITHIN_S, Beat, Cursor, Filter, Store
from retouch.ports.tracing import UNTRACED, Span, Tracer
from retouch.ports.upsampler import NotUpsampled, Upsampler

__all__ = [
    "ONCE_WITHIN_S",
    "UNTRACED",
    "Beat",
    "Blobs",
    "Broken",
    "Clock",
    "Courier",
    "Cursor",
    "Decoder",
    "Delivered",
    "Delivery",
    "DeliveryState",
    "Engine",
    "EngineEvent",
    "Enlisted",
    "Family",
    "Fetcher",
    "File",
    "Files",
    "Filter",
    "Finished",
    "GiveUp",
    "Job",
    "Key",
    "Keys",
    "Memory",
    "NotUpsampled",
    "Outbox",
    "Outcome",
    "PictureCheck",
    "Plan",
    "Postpone",
    "Previewed",
    "ProcessKind",
    "PromptCheck",
    "Receipt",
    "Retry",
    "Roster",
    "Span",
    "Stepped",
    "Store",
    "Tracer",
    "Undelivered",
    "Upsampler",
]
