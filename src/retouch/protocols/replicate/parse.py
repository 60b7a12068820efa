"""A Replicate create request, in our words."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from retouch.domain.edit import (
    MAX_SEED,
    AspectRatio,
    Edit,
    FileImage,
    ImageSource,
    OutputFormat,
    UrlImage,
)
from retouch.domain.errors import InvalidEdit, NotFound, Violation
from retouch.protocols.base import Call, Model, Submission
from retouch.protocols.data_uri import is_data_uri
from retouch.protocols.pictures import echoed, inline, our_file, texts_in
from retouch.protocols.replicate.errors import mistyped, violation
from retouch.protocols.replicate.fields import (
    BY_NAME,
    BY_VERSION,
    HOSTS,
    MATCH,
    OLD_SCHEMAS,
    by_name,
)
from retouch.protocols.replicate.webhooks import webhook_faults, webhook_of
from retouch.protocols.schema import faults, known
from retouch.protocols.values import shown

BODY_KEYS = ("input", "webhook", "webhook_completed", "webhook_events_filter", "stream")
WAIT_MAX_S = 60
BARE_WAIT_S = 55.0  # the hold of `wait` without a number, below every client's read timeout
CANCEL_AFTER = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s?)?")
CANCEL_AFTER_MIN_S = 5
PREFER = re.compile(r"(?:^|[,;\s])wait(?:\s*=\s*(\d{1,6}))?(?=$|[,;\s])")


def submission_of(call: Call) -> Submission:
    body = _body(call)
    model, schema = _chosen(call, body)
    fields = known(schema, _by_our_names(schema, body["input"]))
    broken = [violation(fault) for fault in faults(schema, fields)]
    broken += _extra_rules(fields, {violation.field for violation in broken})
    images, echo = _images(call, schema, fields, broken)
    if broken:
        raise InvalidEdit(_in_order(schema, broken))
    return Submission(
        model=model.name,
        input=dict(sorted(echo.items())),
        edit=_edit(schema, fields, images),
        wait_s=wait_of(call)[0],
        is_retry=call.headers.get("x-stainless-retry-count", "0") not in ("", "0"),
        webhook=webhook_of(call, body),
        cancel_after_s=_cancel_after(call),
    )


def _body(call: Call) -> Mapping[str, Any]:
    """The envelope around `input`, checked."""
    body = call.json()
    if not isinstance(body, dict):
        raise InvalidEdit((mistyped("", "object", body),))
    pinned = "name" not in call.params
    needed = ("version", "input") if pinned else ("input",)
    broken = [
        Violation("", "required", f"{key} is required") for key in needed if body.get(key) is None
    ]
    allowed = {*BODY_KEYS, *needed}
    broken += [
        Violation(
            "", "additional_property_not_allowed", f"Additional property {key} is not allowed"
        )
        for key in body
        if key not in allowed
    ]
    for key, kind in (("version", str), ("input", dict)):
        value = body.get(key)
        if key in needed and value is not None and not isinstance(value, kind):
            wanted = "string" if kind is str else "object"
            broken.append(mistyped(key, wanted, value))
    broken += webhook_faults(body)
    if _cancel_after(call) == 0:
        words = "Must be a time such as 90, 90s, 5m or 1h30m45s, of at least 5 seconds"
        said = shown(call.headers["cancel-after"])
        broken.append(Violation("Cancel-After", "format", words, said))
    if broken:
        raise InvalidEdit(tuple(broken))
    return body


def _chosen(call: Call, body: Mapping[str, Any]) -> tuple[Model, Mapping[str, Any]]:
    """The model a create names, by path or by version, and the schema of that version."""
    if "name" in call.params:
        model = by_name(f"{call.params['owner']}/{call.params['name']}")
        return model, model.schema
    name, _, version = body["version"].rpartition(":")
    if "/" in version:
        name, version = version, ""
    found = BY_VERSION.get(version) if version else BY_NAME.get(name)
    if found is None or name not in ("", found.name):
        raise NotFound("version", body["version"][:200])
    return found, OLD_SCHEMAS.get(version, found.schema)


def _by_our_names(schema: Mapping[str, Any], sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """The input, with `image` read as `input_image` where that is the model's name for it.

    Vercel's AI SDK calls every model's picture `image`. Dropped as unknown, it would be an edit of
    nothing.
    """
    takes_it = "input_image" in schema["properties"] and sent.get("input_image") is None
    if not takes_it or not isinstance(sent.get("image"), str):
        return sent
    return {**sent, "input_image": sent["image"]}


def _extra_rules(fields: Mapping[str, Any], broken: set[str]) -> list[Violation]:
    """What the published schemas do not say."""
    found = []

    def breaks(name: str, kind: str, words: str, value: object) -> None:
        found.append(Violation(f"input.{name}", kind, words, shown(value)))

    tolerance, seed = fields.get("safety_tolerance"), fields.get("seed")
    if "input_image" in fields and "input.safety_tolerance" not in broken and (tolerance or 0) > 2:
        breaks("safety_tolerance", "number_lte", "Must be less than or equal to 2", tolerance)
    if seed is not None and "input.seed" not in broken and seed < 0:
        breaks("seed", "number_gte", "Must be greater than or equal to 0", seed)
    if seed is not None and "input.seed" not in broken and seed > MAX_SEED:
        breaks("seed", "number_lte", f"Must be less than or equal to {MAX_SEED}", seed)
    for name, value in fields.items():
        if any("\0" in text for text in texts_in(value)):
            breaks(name, "format", "Must not contain null characters", value)
    return found


def _in_order(schema: Mapping[str, Any], broken: list[Violation]) -> tuple[Violation, ...]:
    """Violations as the fields stand in the schema; a missing field is named by its sentence."""

    def place(it: Violation) -> int:
        _, dot, rest = it.field.partition(".")
        name = rest.partition(".")[0] if dot else it.description.partition(" ")[0]
        return int(schema["properties"][name]["x-order"])

    return tuple(sorted(broken, key=place))


def _images(
    call: Call, schema: Mapping[str, Any], fields: Mapping[str, Any], broken: list[Violation]
) -> tuple[tuple[ImageSource, ...], dict[str, Any]]:
    """The pictures in field order, and the fields with long data URIs put aside."""
    found: list[ImageSource] = []
    echo = dict(fields)
    faulty = {violation.field for violation in broken}
    for name in fields:
        rules = schema["properties"][name]
        if "uri" not in (rules.get("format"), rules.get("items", {}).get("format")):
            continue
        if any(field == f"input.{name}" or field.startswith(f"input.{name}.") for field in faulty):
            continue
        many = isinstance(fields[name], list)
        texts = texts_in(fields[name])
        try:
            sources = [_source(call, text) for text in texts]
        except ValueError:
            words, value = "Does not match format 'uri'", shown(fields[name])
            broken.append(Violation(f"input.{name}", "format", words, value))
            continue
        found += sources
        kept = [echoed(text, source) for text, source in zip(texts, sources, strict=True)]
        echo[name] = kept if many else kept[0]
    return tuple(found), echo


def _source(call: Call, text: str) -> ImageSource:
    """One picture; raises ValueError for a data URI that is none."""
    if is_data_uri(text):
        return inline(text)
    address = urlsplit(text)
    is_here = address.netloc.lower() == urlsplit(call.origin).netloc.lower()
    file_id = our_file(address, is_here=is_here or address.hostname in HOSTS)
    return UrlImage(text) if file_id is None else FileImage(file_id)


def _edit(
    schema: Mapping[str, Any], fields: Mapping[str, Any], images: tuple[ImageSource, ...]
) -> Edit:
    """The canonical request. Steps, guidance and mode are the weights' choice unless sent."""

    def value(name: str, otherwise: Any = None) -> Any:
        return fields.get(name, schema["properties"].get(name, {}).get("default", otherwise))

    ratio = value("aspect_ratio", MATCH)
    unchecked = fields.get("disable_safety_checker", False)
    steps, guidance, seed = (
        fields.get(name) for name in ("num_inference_steps", "guidance", "seed")
    )
    return Edit(
        prompt=fields["prompt"],
        images=images,
        aspect_ratio=None if ratio == MATCH else AspectRatio.parse(ratio),
        output_format=_format(value("output_format", "png")),
        output_quality=max(1, int(value("output_quality", 90))),
        seed=None if seed is None else int(seed),
        guidance=None if guidance is None else float(guidance),
        steps=None if steps is None else int(steps),
        safety_tolerance=6 if unchecked else int(value("safety_tolerance", 2)),
        prompt_upsampling=value("prompt_upsampling", False),
        mode="fast" if fields.get("go_fast") else "exact",
    )


def _format(word: str) -> OutputFormat:
    return OutputFormat.JPEG if word == "jpg" else OutputFormat(word)


def wait_of(call: Call) -> tuple[float | None, str]:
    """How long `Prefer: wait` holds the answer, in seconds, and what to say was applied."""
    asked = PREFER.search(call.headers.get("prefer", "").lower())
    if asked is None:
        return None, ""
    bare = asked[1] is None
    wished = WAIT_MAX_S if bare else min(max(int(asked[1]), 1), WAIT_MAX_S)
    budget = min(float(wished), _read_timeout(call))
    hold = max(budget - 1, budget / 2)
    return (min(hold, BARE_WAIT_S), "wait") if bare else (hold, f"wait={wished}")


def _cancel_after(call: Call) -> float | None:
    """When to cancel what is not over, in seconds; None if nothing is said, 0 if nonsense is."""
    text = call.headers.get("cancel-after", "").strip()
    if not text:
        return None
    found = CANCEL_AFTER.fullmatch(text)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    limit_s = float(hours * 3600 + minutes * 60 + seconds)
    return limit_s if limit_s >= CANCEL_AFTER_MIN_S else 0.0


def _read_timeout(call: Call) -> float:
    """When this client stops listening, in seconds; one of them re-sends the create then."""
    try:
        timeout = float(call.headers.get("x-stainless-read-timeout", "inf"))
    except ValueError:
        return float("inf")
    return timeout if timeout > 0 else float("inf")
