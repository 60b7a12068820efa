"""Everything the handlers call, already built."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from retouch.ports import UNTRACED, Blobs, Roster, Tracer
from retouch.protocols.base import Signer
from retouch.service.catalogue import Catalogue
from retouch.service.doors import Doors
from retouch.service.eraser import Eraser
from retouch.service.files import Uploads
from retouch.service.identity import Tickets
from retouch.service.intake import Intake
from retouch.service.keys import KeyService
from retouch.service.links import Links, Views
from retouch.service.meters import WebMeters
from retouch.service.predictions import Predictions
from retouch.web.unheard import Unheard


async def always_ready() -> str | None:
    """For a web process that depends on nothing."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services of one web process. `ready` says what is missing, or None.

    `name` is what the roster calls it, where it is one of several.
    """

    catalogue: Catalogue
    intake: Intake
    predictions: Predictions
    uploads: Uploads
    eraser: Eraser
    keys: KeyService
    blobs: Blobs
    links: Links
    views: Views
    tickets: Tickets
    signer: Signer
    roster: Roster
    tracer: Tracer = UNTRACED
    meters: WebMeters = field(default_factory=WebMeters)
    unheard: Unheard = field(default_factory=Unheard)
    ready: Callable[[], Awaitable[str | None]] = always_ready
    doors: Doors = field(default_factory=Doors)
    name: str = ""
