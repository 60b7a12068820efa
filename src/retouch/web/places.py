"""The verbs of uploads in two steps: reserve a place, fill it, or fill its parts and join them."""

from typing import TYPE_CHECKING

from retouch.domain.errors import NotFound, TooLarge
from retouch.protocols.base import Answer, Place
from retouch.web.reading import with_body

if TYPE_CHECKING:
    from retouch.web.handlers import Visit


async def reserve(visit: "Visit") -> Answer:
    """A place for an upload that is still to come, and the link it will have."""
    call = visit.call = await with_body(visit.call, visit.request)
    services, wanted = visit.services, visit.dialect.places.reserve(call)
    if (wanted.size_bytes or 0) > visit.dialect.files.limit_bytes:
        raise TooLarge("file", visit.dialect.files.limit_bytes)
    id, file_id = await services.uploads.places.reserve(visit.owner, wanted)
    link = services.links.bare(call.origin, f"uploads/{file_id}")
    return visit.dialect.places.reserved(call, Place(ticket=services.tickets.issue(id), link=link))


async def fill(visit: "Visit") -> Answer:
    """A place's bytes; its ticket is the permission."""
    call = visit.call = await with_body(visit.call, visit.request)
    limit = visit.dialect.files.limit_bytes
    if len(call.body) > limit:
        raise TooLarge("file", limit)
    file = await visit.services.uploads.places.fill(_place(visit), call.body)
    return visit.dialect.places.filled(call, file)


async def fill_part(visit: "Visit") -> Answer:
    """One part of a place's bytes."""
    call = visit.call = await with_body(visit.call, visit.request)
    number = visit.dialect.places.part(call)
    tag = await visit.services.uploads.places.fill_part(_place(visit), number, call.body)
    return visit.dialect.places.part_filled(call, number, tag)


async def complete(visit: "Visit") -> Answer:
    """The end of an upload in parts."""
    call = visit.call = await with_body(visit.call, visit.request)
    numbers, limit = visit.dialect.places.parts(call), visit.dialect.files.limit_bytes
    file = await visit.services.uploads.places.complete(_place(visit), numbers, limit)
    return visit.dialect.places.filled(call, file)


def _place(visit: "Visit") -> str:
    id = visit.services.tickets.read(visit.call.params["ticket"])
    if id is None:
        raise NotFound("file", visit.call.params["ticket"])
    return id
