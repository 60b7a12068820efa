"""Between domain values and table rows.

What is nested travels as JSON text. Fields a row lacks take their defaults, fields it has too
many are ignored, so rows written before or after this version load.
"""

from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

import msgspec
import sqlalchemy as sa

from retouch.domain.edit import (
    AspectRatio,
    BlobImage,
    Edit,
    FileImage,
    ImageSource,
    InlineImage,
    Lora,
    Marks,
    MaskImage,
    Mode,
    OutputFormat,
    ReferenceLayout,
    Size,
    UrlImage,
)
from retouch.domain.failure import Failure, FailureKind
from retouch.domain.grant import Grant
from retouch.domain.prediction import Event, Kept, Output, Prediction, Progress, Status, Webhook
from retouch.ports import Delivery, DeliveryState, File, Key
from retouch.store.tables import predictions

Values = dict[str, Any]
AnyRow = sa.Row[*tuple[Any, ...]]


class _Url(msgspec.Struct, tag="url", tag_field="kind"):
    url: str


class _Blob(msgspec.Struct, tag="blob", tag_field="kind"):
    key: str


class _Inline(msgspec.Struct, tag="inline", tag_field="kind"):
    data: bytes


class _File(msgspec.Struct, tag="file", tag_field="kind"):
    file_id: str


_Image = _Url | _Blob | _Inline | _File


class _Mask(msgspec.Struct, omit_defaults=True):
    image: _Image
    marks: Marks
    may_stretch: bool = False
    strength: float = 1.0
    hides: bool = False


class StoredEdit(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`Edit` as JSON: the same fields, each picture tagged with its kind."""

    prompt: str
    images: tuple[_Image, ...] = ()
    aspect_ratio: AspectRatio | None = None
    size: Size | None = None
    output_format: OutputFormat = OutputFormat.PNG
    output_quality: int = 90
    count: int = 1
    previews: int = 0
    seed: int | None = None
    guidance: float | None = None
    steps: int | None = None
    safety_tolerance: int = 2
    prompt_upsampling: bool = False
    reference_layout: ReferenceLayout | None = None
    mode: Mode = "exact"
    loras: tuple[Lora, ...] = ()
    mask: _Mask | None = None


_EDIT_FIELDS = tuple(field.name for field in fields(Edit) if field.name not in ("images", "mask"))
_MASK_FIELDS = tuple(field.name for field in fields(MaskImage) if field.name != "image")
_COLUMNS = tuple(column.name for column in predictions.columns)
ID = _COLUMNS.index("id")
"""Where a row of `predictions` has its id: a look-up by attribute costs ten of these."""

_INPUT = _COLUMNS.index("input")
_KEPT_S = {kept: f"{kept}_kept_s" for kept in Kept}
SHORT_INPUT = 4096
"""Up to this many characters of input a prediction that was read is kept for the next look."""

_encoder = msgspec.json.Encoder()
_decode_edit = msgspec.json.Decoder(StoredEdit).decode
_decode_outputs = msgspec.json.Decoder(tuple[Output, ...]).decode
_decode_metrics = msgspec.json.Decoder(dict[str, float]).decode
_decode_grant = msgspec.json.Decoder(Grant).decode
_decode_webhook = msgspec.json.Decoder(Webhook).decode


def to_json(value: Any) -> str:
    """JSON text; raises TypeError for what JSON cannot say."""
    return _encoder.encode(value).decode()


def from_json(text: str) -> Any:
    """The value a JSON text says, as dicts and lists."""
    return msgspec.json.decode(text)


def edit_to_json(edit: Edit) -> str:
    """An edit as JSON text; fields at their defaults are left out."""
    images = tuple(_stored_image(image) for image in edit.images)
    rest = {name: getattr(edit, name) for name in _EDIT_FIELDS}
    return to_json(StoredEdit(images=images, mask=_stored_mask(edit.mask), **rest))


def edit_from_json(text: str) -> Edit:
    """The edit a JSON text says; raises msgspec.ValidationError when it is not one."""
    stored = _decode_edit(text)
    images = tuple(_image(image) for image in stored.images)
    rest = {name: getattr(stored, name) for name in _EDIT_FIELDS}
    return Edit(images=images, mask=_mask(stored.mask), **rest)


def prediction_values(
    prediction: Prediction, fingerprint: str | None, once: str | None = None
) -> Values:
    """The columns of a new prediction, all but `seq` and `tag`; it has not failed."""
    progress = prediction.progress
    return {
        "id": prediction.id,
        "owner": prediction.owner,
        "protocol": prediction.protocol,
        "model": prediction.model,
        "input": to_json(prediction.input),
        "edit": edit_to_json(prediction.edit),
        "fingerprint": fingerprint,
        "created_at": prediction.created_at,
        "status": prediction.status.value,
        "priority": prediction.priority,
        "cost": prediction.cost,
        "attempt": prediction.attempt,
        "crashes": prediction.crashes,
        "worker": prediction.worker,
        "step": progress and progress.step,
        "steps": progress and progress.steps,
        "previews": (progress and progress.previews) or None,
        "logs": text(prediction.logs),
        "outputs": to_json(prediction.outputs),
        "metrics": to_json(prediction.metrics),
        "started_at": prediction.started_at,
        "completed_at": prediction.completed_at,
        "webhook": prediction.webhook and to_json(prediction.webhook),
        "deadline": prediction.deadline,
        "start_by": prediction.start_by,
        "once": once,
        "request": prediction.request or None,
        "trace": prediction.trace or None,
        **{column: prediction.keep_s.get(kept) for kept, column in _KEPT_S.items()},
    }


def prediction_of(row: AnyRow) -> Prediction:
    """The prediction in a row of `predictions`, which may have more at its end."""
    # Who polls sees the same row again and again. A long one, with pictures in it, is not kept.
    return _remembered(row) if len(row[_INPUT]) <= SHORT_INPUT else _read(row)


def _read(row: AnyRow) -> Prediction:
    it = dict(zip(_COLUMNS, row, strict=False))
    return Prediction(
        id=it["id"],
        owner=it["owner"],
        protocol=it["protocol"],
        model=it["model"],
        input=from_json(it["input"]),
        edit=edit_from_json(it["edit"]),
        created_at=it["created_at"],
        status=Status(it["status"]),
        priority=it["priority"],
        cost=it["cost"],
        attempt=it["attempt"],
        crashes=it["crashes"],
        worker=it["worker"],
        progress=_progress(it),
        logs=it["logs"],
        outputs=_decode_outputs(it["outputs"]),
        failure=_failure(it),
        metrics=_decode_metrics(it["metrics"]),
        started_at=it["started_at"],
        completed_at=it["completed_at"],
        webhook=None if it["webhook"] is None else _decode_webhook(it["webhook"]),
        deadline=it["deadline"],
        start_by=it["start_by"],
        request=it["request"] or "",
        trace=it["trace"] or "",
        keep_s=_keep_s(it),
        data_removed=it["outputs_gone"],
    )


_remembered = lru_cache(maxsize=1024)(_read)


def failure_values(failure: Failure | None) -> Values:
    """The columns of why a prediction failed, if it did."""
    return {
        "failure": failure and failure.kind.value,
        "error": failure and text(failure.error),
        "failed_picture": failure and failure.picture,
    }


def _failure(it: Values) -> Failure | None:
    if it["failure"] is None:
        return None
    return Failure(FailureKind(it["failure"]), it["error"], it["failed_picture"])


def _progress(it: Values) -> Progress | None:
    done = it["step"]
    return None if done is None else Progress(done, it["steps"], it["previews"] or 0)


def _keep_s(it: Values) -> dict[Kept, float]:
    own = (
        (Kept.INPUTS, it["inputs_kept_s"]),
        (Kept.OUTPUTS, it["outputs_kept_s"]),
        (Kept.RECORD, it["record_kept_s"]),
    )
    return {kept: span_s for kept, span_s in own if span_s is not None}


def left_values(prediction: Prediction) -> Values:
    """The columns that forgetting may change."""
    names = ("input", "edit", "outputs", "logs", "metrics", "webhook", "step", "steps")
    values = prediction_values(prediction, None)
    return {name: values[name] for name in names} | failure_values(prediction.failure)


def event_values(prediction_id: str, name: str, at: float, data: Mapping[str, Any]) -> Values:
    """The columns of a new event."""
    return {"prediction_id": prediction_id, "name": name, "at": at, "data": to_json(data)}


def event_of_row(row: AnyRow) -> Event:
    """The event in a row of `events`."""
    return Event(row.seq, row.prediction_id, row.name, row.at, from_json(row.data))


def delivery_values(delivery: Delivery) -> Values:
    """The columns of a delivery."""
    return {field.name: getattr(delivery, field.name) for field in fields(delivery)}


def delivery_of_row(row: AnyRow) -> Delivery:
    """The delivery in a row of `deliveries`."""
    known = {"tells": Status(row.tells), "state": DeliveryState(row.state)}
    return Delivery(**{**row._asdict(), **known})


def key_values(key: Key) -> Values:
    """The columns of a key."""
    values = {field.name: getattr(key, field.name) for field in fields(key)}
    return {**values, "grant": to_json(key.grant)}


def key_of(row: AnyRow) -> Key:
    """The key in a row of `keys`."""
    return Key(**{**row._asdict(), "grant": _decode_grant(row.grant)})


def file_values(file: File) -> Values:
    """The columns of a file."""
    values = {field.name: getattr(file, field.name) for field in fields(file)}
    return {**values, "metadata": to_json(file.metadata)}


def file_of(row: AnyRow) -> File:
    """The file in a row of `files`."""
    return File(**{**row._asdict(), "metadata": from_json(row.metadata)})


def text(value: str) -> str:
    """Text every database takes: PostgreSQL refuses NUL, both refuse lone surrogates."""
    return value.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _stored_image(image: ImageSource) -> _Image:
    match image:
        case UrlImage(url):
            return _Url(url)
        case BlobImage(key):
            return _Blob(key)
        case InlineImage(data):
            return _Inline(data)
        case FileImage(file_id):
            return _File(file_id)


def _stored_mask(mask: MaskImage | None) -> _Mask | None:
    if mask is None:
        return None
    rest = {name: getattr(mask, name) for name in _MASK_FIELDS}
    return _Mask(_stored_image(mask.image), **rest)


def _mask(stored: _Mask | None) -> MaskImage | None:
    if stored is None:
        return None
    return MaskImage(_image(stored.image), **{it: getattr(stored, it) for it in _MASK_FIELDS})


def _image(stored: _Image) -> ImageSource:
    match stored:
        case _Url(url=url):
            return UrlImage(url)
        case _Blob(key=key):
            return BlobImage(key)
        case _Inline(data=data):
            return InlineImage(data)
        case _File(file_id=file_id):
            return FileImage(file_id)
