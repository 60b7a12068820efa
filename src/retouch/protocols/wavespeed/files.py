"""WaveSpeed's uploads: announced and sent to an address of their own, or sent in one part."""

from collections.abc import Sequence

from retouch.domain.errors import InvalidEdit
from retouch.ports import File
from retouch.protocols.base import Answer, Call, Part, Place, Upload
from retouch.protocols.dialect import FileDialect, PlaceDialect
from retouch.protocols.schema import faults, known
from retouch.protocols.values import shown
from retouch.protocols.wavespeed.errors import invalid, missing, refuse, violation
from retouch.protocols.wavespeed.fields import UPLOAD_LIMIT_BYTES, UPLOAD_RULES
from retouch.protocols.wavespeed.parse import body_of
from retouch.protocols.wavespeed.render import success

ANY_TYPE = "application/octet-stream"
KINDS = ("image", "video", "audio")


class Files(FileDialect):
    """An upload in one call."""

    limit_bytes = UPLOAD_LIMIT_BYTES

    def upload(self, call: Call, parts: Sequence[Part]) -> Upload:
        """The part named `file`."""
        part = next((part for part in parts if part.name == "file"), None)
        if part is None:
            refuse(missing("file"))
        return Upload(
            name=part.filename or "upload",
            content_type=part.content_type or ANY_TYPE,
            data=part.data,
        )

    def uploaded(self, call: Call, file: File, link: str) -> Answer:
        body = {
            "type": _kind(file.content_type),
            "download_url": link,
            "filename": file.name,
            "size": file.size_bytes,
        }
        return success(body)


class Places(PlaceDialect):
    """An upload that is announced, and sent to an address of its own."""

    def reserve(self, call: Call) -> Upload:
        """What a client is about to send. It leaves the type out when it cannot guess."""
        fields = known(UPLOAD_RULES, body_of(call))
        broken = [violation(fault) for fault in faults(UPLOAD_RULES, fields)]
        if not broken and "\0" in fields["filename"]:
            words = "must not contain null characters"
            broken = [invalid("filename", words, shown(fields["filename"]))]
        if broken:
            raise InvalidEdit(tuple(broken))
        return Upload(
            name=fields["filename"],
            content_type=fields.get("content_type") or ANY_TYPE,
            data=b"",
            size_bytes=int(fields["size"]),
        )

    def reserved(self, call: Call, place: Place) -> Answer:
        """Where to send it, and how: with these headers and no others, so without a key."""
        wanted = self.reserve(call)
        body = {
            "type": _kind(wanted.content_type),
            "filename": wanted.name,
            "size": wanted.size_bytes,
            "download_url": place.link,
            "upload": {
                "method": "PUT",
                "url": call.url(f"/media/uploads/{place.ticket}"),
                "headers": {"Content-Type": wanted.content_type},
            },
        }
        return success(body)

    def filled(self, call: Call, file: File) -> Answer:
        return success({"filename": file.name, "size": file.size_bytes})


def _kind(content_type: str) -> str:
    kind = content_type.partition("/")[0].strip().lower()
    return kind if kind in KINDS else "file"
