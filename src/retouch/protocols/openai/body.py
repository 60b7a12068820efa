"""The body of an image request, whichever way it travels: JSON, or parts of a form."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import Any

from retouch.domain.edit import FileImage, ImageSource, InlineImage, UrlImage
from retouch.domain.errors import InvalidEdit, Violation
from retouch.protocols.base import Call, Part
from retouch.protocols.data_uri import is_data_uri
from retouch.protocols.openai.errors import invalid, refuse
from retouch.protocols.openai.fields import IMAGE_FIELDS, MASK, SCHEMA
from retouch.protocols.pictures import inline
from retouch.protocols.schema import is_uri, type_name
from retouch.protocols.values import shown

IMAGE_PART = re.compile(rf"({'|'.join((*IMAGE_FIELDS, MASK))})((?:\[\w*\])*)")
FILE_ID = re.compile(r"[\w-]{1,64}")
INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Body:
    """What was said, and the pictures in the order they came."""

    fields: Mapping[str, Any]
    images: tuple[ImageSource, ...]
    mask: ImageSource | None = None


def body_of(call: Call) -> Body:
    """Read a request; raises InvalidEdit, for a picture that is none too."""
    return _from_parts(call.parts) if call.parts else _from_json(call.json())


def _from_json(body: Any) -> Body:
    if not isinstance(body, dict):
        words = f"Invalid body: expected an object, but got {type_name(body)} instead."
        refuse(Violation("", "invalid_type", words))
    images: list[ImageSource] = []
    for name in IMAGE_FIELDS:
        value = body.get(name)
        items = value if isinstance(value, list) else [] if value is None else [value]
        images += [_named(name, item) for item in items]
    mask = None if body.get(MASK) is None else _named(MASK, body[MASK])
    fields = {name: it for name, it in body.items() if name not in (*IMAGE_FIELDS, MASK)}
    return Body(fields, tuple(images), mask)


def _named(field: str, item: Any) -> ImageSource:
    """A picture in JSON: its text, or an object that says where it is."""
    match item:
        case str(text):
            return _source(field, text)
        case {"file_id": str(file_id)}:
            return _file(field, file_id)
        case {"image_url": str(url)} | {"image_url": {"url": str(url)}} | {"url": str(url)}:
            return _source(field, url)
        case _:
            rule = "expected an image_url or a file_id"
            raise InvalidEdit((invalid(field, rule, shown(item), "invalid_type"),))


def _from_parts(parts: Sequence[Part]) -> Body:
    """A form's parts; no order is relied upon but that of the pictures among themselves."""
    fields: dict[str, Any] = {}
    images: list[ImageSource] = []
    masks: list[ImageSource] = []
    for part in parts:
        place = IMAGE_PART.fullmatch(part.name)
        if place is None:
            _keep(fields, part)
        elif part.data or part.filename:  # a form's empty file input is neither
            sent = _sent(place[1], place[2], part)
            (masks if place[1] == MASK else images).append(sent)
    if len(masks) > 1:
        refuse(invalid(MASK, "expected one picture", len(masks), "array_above_max_length"))
    return Body(fields, tuple(images), masks[0] if masks else None)


def _sent(field: str, place: str, part: Part) -> ImageSource:
    if part.filename is not None:
        if not part.data:
            words = f"Invalid image file in '{field}': it is empty."
            refuse(Violation(field, "invalid_image_file", words, shown(part.filename)))
        return InlineImage(part.data)
    text = part.data.decode("utf-8", "replace")
    return _file(field, text) if place.endswith("[file_id]") else _source(field, text)


def _file(field: str, file_id: str) -> FileImage:
    if FILE_ID.fullmatch(file_id) is None:
        words = "expected a file_id of at most 64 letters and digits"
        refuse(invalid(field, words, shown(file_id)))
    return FileImage(file_id)


def _keep(fields: dict[str, Any], part: Part) -> None:
    """A plain field: what it says, in the type its rules want if it can be read as that."""
    if part.filename is not None:
        fields[part.name] = part.filename or "file"
        return
    text = part.data.decode("utf-8", "replace")
    if text or part.name == "prompt":
        kind = SCHEMA["properties"].get(part.name, {}).get("type", "string")
        fields[part.name] = _typed(kind, text)


def _typed(kind: str, text: str) -> Any:
    match kind:
        case "integer" if INTEGER.fullmatch(text):
            return int(text)
        case "number":
            try:
                number = float(text)
            except ValueError:
                return text
            return number if isfinite(number) else text
        case "boolean":
            return BOOLEANS.get(text.lower(), text)
        case _:
            return text


def _source(field: str, text: str) -> ImageSource:
    if is_uri(text) and "\0" not in text:
        if not is_data_uri(text):
            return UrlImage(text)
        with suppress(ValueError):
            picture = inline(text)
            if picture.data:
                return picture
    rule = "expected an http(s) URL or a data URI"
    raise InvalidEdit((invalid(field, rule, shown(text), "invalid_image_url"),))
