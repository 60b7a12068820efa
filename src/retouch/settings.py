"""One frozen `Settings`: flag over environment (`RETOUCH_*`) over `retouch.toml` over default.

The only module that reads the environment, and not while it is imported. A value that does not
parse or that cannot be stops the start and names its key; an unknown key is an error with the
nearest known one.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from ipaddress import ip_network
from math import isfinite
from pathlib import Path
from typing import Any, get_args, get_origin

from retouch.domain.grant import Rate
from retouch.domain.network import Network

PREFIX = "RETOUCH_"
FILE = Path("retouch.toml")


class SettingsError(ValueError):
    """A setting is unknown or its value cannot be; the message names it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for a value, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


def one_of(*known: str) -> Rule:
    """One of some words."""
    return Rule(f"one of {', '.join(known)}", lambda value: value in known)


def between(least: float, most: float) -> Rule:
    """A number of a range, both ends included."""
    return Rule(f"{least} to {most}", lambda value: least <= value <= most)


def url_of(*beginnings: str) -> Rule:
    """An address that begins like one of these and goes on, or nothing."""

    def holds(value: str) -> bool:
        return not value or any(value.startswith(it) and value != it for it in beginnings)

    return Rule(f"empty, or an address that begins with {' or '.join(beginnings)}", holds)


ANYTHING = Rule("anything", lambda _: True)
SOME = Rule("1 or more", lambda value: value >= 1)
NOT_NEGATIVE = Rule("0 or more", lambda value: value >= 0)
POSITIVE = Rule("more than 0", lambda value: value > 0)
HTTP = url_of("http://", "https://")
LEVELS = ("debug", "info", "warning", "error", "critical")


def setting(default: Any, meaning: str, rule: Rule = ANYTHING, *, is_secret: bool = False) -> Any:
    """A field with its default and the sentence its documentation shows. Secrets never print."""
    return field(default=default, repr=not is_secret, metadata={"help": meaning, "rule": rule})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can choose."""

    host: str = setting("127.0.0.1", "Address the web process binds.")
    port: int = setting(8787, "Port the web process binds; 0 picks a free one.", between(0, 65_535))
    web_processes: int = setting(
        1, "Web processes on that port. Each takes a core and some 100 MB.", SOME
    )
    data: Path = setting(Path("data"), "Folder that holds everything the server keeps.")
    weights: str = setting(
        "nano",
        "Weights that serve edits: a bundled or known name, a repository OWNER/NAME, or a folder.",
    )
    transformer: str = setting(
        "",
        "Safetensors or GGUF file of the transformer; empty takes the one that is in the weights.",
    )
    device: str = setting("auto", "Device of the worker: auto, cpu, cuda, cuda:1, mps.")
    dtype: str = setting(
        "auto",
        "Number format of the weights: auto, float32, bfloat16, float16.",
        one_of("auto", "float32", "bfloat16", "float16"),
    )
    quantisation: str = setting(
        "none",
        "Rounds the linears of transformer and text encoders while they load: none, int8, "
        "int8-dynamic, float8.",
        one_of("none", "int8", "int8-dynamic", "float8"),
    )
    offload: str = setting(
        "none",
        "Lets weights wait in main memory: none; model, all but the transformer; sequential, all.",
        one_of("none", "model", "sequential"),
    )
    max_jobs: int = setting(8, "Most edits a worker has in the making at once.", SOME)
    open_ahead: str = setting(
        "auto",
        "Encodes and decodes pictures beside the steps of others: auto, on CUDA only; on; off.",
        one_of("auto", "on", "off"),
    )
    compile_blocks: str = setting(
        "auto",
        "Compiles the transformer's blocks at the start: auto, on CUDA only; on; off.",
        one_of("auto", "on", "off"),
    )
    token_budget: int = setting(
        0,
        "Most tokens in one forward pass; 0 measures at the start what the device likes best.",
        NOT_NEGATIVE,
    )
    memory_bytes: int = setting(
        0,
        "Memory for edits beside the weights; 0 is nine tenths of what is free once they are "
        "loaded.",
        NOT_NEGATIVE,
    )
    step_floor_s: float = setting(
        60.0,
        "A step may take this much longer than twenty like it; then the device counts as hung and "
        "its worker is ended and restarted. 0 waits for ever.",
        NOT_NEGATIVE,
    )
    loras: str = setting("", "Folder of LoRA files that edits may name; empty: none may.")
    cache_bytes: int = setting(
        256_000_000,
        "Encoded instructions and pictures kept on the device for the next request.",
        NOT_NEGATIVE,
    )
    fast_tolerance: float = setting(
        0.1,
        "How far a step may stray to be cut short when an edit asks for fast; 0: none is.",
        NOT_NEGATIVE,
    )
    fast_likeness: float = setting(
        0.93,
        "How like the reference, as a cosine, a place must be to be left out of steps when an edit "
        "asks for fast; 0: none is. Where both are 0 such edits are served exact.",
        between(0, 1),
    )
    database: str = setting(
        "",
        "Database URL; empty is SQLite in the data folder.",
        Rule(
            url_of("sqlite:///", "postgresql://").words,
            lambda value: not value or value.startswith(("sqlite", "postgres")),
        ),
        is_secret=True,
    )
    blobs: str = setting(
        "",
        "Where pictures are kept, a file:// or s3:// URL; empty is the data folder.",
        url_of("file:///", "s3://"),
    )
    secret: tuple[str, ...] = setting(
        (),
        "Signs links and webhooks, comma separated: the first signs links, all are accepted; "
        "empty is the file `secret` in the data folder, made once, one in each line.",
        is_secret=True,
    )
    public_url: str = setting(
        "", "Origin written into answers; empty is the one the caller used.", HTTP
    )
    trust_forwarded: bool = setting(
        False,
        "Believe X-Forwarded-Proto and X-Forwarded-Host, and the last X-Forwarded-For also of a "
        "proxy on another machine.",
    )
    max_wrong_keys: int = setting(
        30,
        "Wrong keys a minute from one address; after that its next ones wait. This machine itself "
        "is not limited. 0 is no limit.",
        NOT_NEGATIVE,
    )
    allow_fetch: tuple[Network, ...] = setting(
        (), "Private subnets that image URLs may point into, comma separated."
    )
    allow_webhook: tuple[Network, ...] = setting(
        (), "Private subnets that webhooks may be sent into, comma separated."
    )
    allowed_hosts: tuple[str, ...] = setting(
        (), "Host names the server answers to besides its own, comma separated."
    )
    max_queued: int = setting(10_000, "Most predictions that wait; 0 is no limit.", NOT_NEGATIVE)
    max_in_flight: int = setting(
        0,
        "Most predictions of one key that are not over, unless the key says; 0 is no limit.",
        NOT_NEGATIVE,
    )
    rate: Rate | None = setting(
        None, "Creates of one key, such as 10/s or 600/min, unless the key says; empty is no limit."
    )
    min_free_bytes: int = setting(
        268_435_456, "Free disk space below which creates and uploads are refused.", NOT_NEGATIVE
    )
    max_body_bytes: int = setting(110_000_000, "Largest request body.", SOME)
    max_image_bytes: int = setting(25_000_000, "Largest single input image.", SOME)
    max_image_pixels: int = setting(40_000_000, "Most pixels of a single input image.", SOME)
    max_images_pixels: int = setting(
        100_000_000, "Most pixels of one prediction's input images together.", SOME
    )
    decode_memory_bytes: int = setting(
        1_500_000_000, "Address space of the image decoder process.", SOME
    )
    fetch_timeout_s: float = setting(10.0, "Longest download of an image URL.", POSITIVE)
    link_ttl_s: float = setting(
        86_400.0, "How long an output link works, counted from the answer.", POSITIVE
    )
    file_ttl_s: float = setting(86_400.0, "How long an upload is kept.", POSITIVE)
    keep_inputs_s: float = setting(
        86_400.0,
        "How long after its end a prediction's input pictures are kept; 0 is for ever.",
        NOT_NEGATIVE,
    )
    keep_outputs_s: float = setting(
        604_800.0,
        "How long after its end a prediction's results are kept; 0 is for ever.",
        NOT_NEGATIVE,
    )
    keep_record_s: float = setting(
        2_592_000.0,
        "How long after its end all else of a prediction is kept; 0 is for ever.",
        NOT_NEGATIVE,
    )
    safety_words: str = setting(
        "built-in", "List that prompts are checked by: built-in, none, or a file of your own."
    )
    safety_classifier: str = setting(
        "",
        "Image classifier that pictures are checked by, a folder or a repository; empty is none.",
    )
    upsampling_url: str = setting(
        "", "OpenAI-compatible endpoint that elaborates prompts, up to its /v1; empty is off.", HTTP
    )
    upsampling_model: str = setting("", "Model named to that endpoint; empty names none.")
    upsampling_key: str = setting("", "Key sent to that endpoint.", is_secret=True)
    upsampling_timeout_s: float = setting(20.0, "Longest wait for an elaborated prompt.", POSITIVE)
    lease_s: float = setting(10.0, "A worker silent for this long loses its predictions.", POSITIVE)
    beat_s: float = setting(
        0.5, "How often a worker renews its leases and publishes progress.", POSITIVE
    )
    drain_s: float = setting(
        20.0, "Time running edits get to finish when the server stops.", NOT_NEGATIVE
    )
    log_level: str = setting(
        "info",
        "Least severe log line written: debug, info, warning, error, critical.",
        Rule(one_of(*LEVELS).words, lambda value: value.lower() in LEVELS),
    )
    log_format: str = setting(
        "auto",
        "Log lines as text or json; auto is text on a terminal.",
        one_of("auto", "text", "json"),
    )

    @property
    def database_url(self) -> str:
        """The database to open."""
        return self.database or f"sqlite:///{self.data.absolute()}/retouch.db"

    @property
    def blobs_url(self) -> str:
        """The blob store to open."""
        return self.blobs or f"file://{self.data.absolute()}/blobs"


OTEL_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""OpenTelemetry's own variables: spans are recorded when one of them is set."""


def load(flags: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force. `flags` holds only what the caller gave; None counts as not given.

    Raises SettingsError.
    """
    known = {item.name: item for item in fields(Settings)}
    environ = os.environ if environ is None else environ
    from_environ = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX)
    }
    chosen: dict[str, Any] = {}
    for source, values in (
        (str(FILE), _read_file()),
        ("the environment", from_environ),
        ("the command line", {name: value for name, value in flags.items() if value is not None}),
    ):
        for name, value in values.items():
            if name not in known:
                raise SettingsError(_unknown(name, source, known))
            chosen[name] = _parse(known[name], value, source)
    settings = Settings(**chosen)
    if settings.beat_s >= settings.lease_s:
        raise SettingsError(
            f"setting 'beat_s' is {settings.beat_s:g}: it must be less than 'lease_s', which is "
            f"{settings.lease_s:g}, or every worker loses its predictions between two beats"
        )
    return settings


def traced_as(environ: Mapping[str, str] | None = None) -> str | None:
    """The name to record spans under; None unless the environment says where to send them.

    >>> traced_as({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    'retouch'
    """
    environ = os.environ if environ is None else environ
    is_off = (
        environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    )
    if is_off or not any(environ.get(name) for name in OTEL_ENDPOINTS):
        return None
    return environ.get("OTEL_SERVICE_NAME") or "retouch"


@dataclass(frozen=True, slots=True)
class Overseer:
    """The service manager: the address of its socket, and how long it bears silence, if at all."""

    address: str
    patience_s: float | None


def overseen_by(environ: Mapping[str, str] | None = None) -> Overseer | None:
    """The process that wants reports from this one: systemd, for services of type notify.

    >>> overseen_by({"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "30000000"})
    Overseer(address='/run/systemd/notify', patience_s=30.0)
    """
    environ = os.environ if environ is None else environ
    address, patience = environ.get("NOTIFY_SOCKET", ""), environ.get("WATCHDOG_USEC", "")
    if not address.startswith(("/", "@")):
        return None
    is_meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return Overseer(address, int(patience) / 1e6 if patience.isdecimal() and is_meant else None)


def let_idle_threads_sleep() -> None:
    """Tell OpenMP not to spin while it waits; must come before torch is loaded.

    A spinning thread burns a core that a neighbour needs. What the operator has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def describe() -> list[tuple[str, str, str]]:
    """(name, default, help) of every setting, for the documentation."""
    return [(item.name, _shown(item), item.metadata["help"]) for item in fields(Settings)]


def _read_file() -> dict[str, Any]:
    if not FILE.exists():
        return {}
    try:
        return tomllib.loads(FILE.read_text())
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{FILE} is not valid TOML: {error}") from None


def _unknown(name: str, source: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown setting {name!r} in {source}{hint}"


def _parse(item: Field[Any], value: Any, source: str) -> Any:
    try:
        converted = _convert(item.type, value)
        if not (rule := item.metadata["rule"]).holds(converted):
            raise ValueError(f"it must be {rule.words}")
        return converted
    except (ValueError, TypeError) as error:
        shown = repr(value) if item.repr else "<hidden>"
        raise SettingsError(f"setting {item.name!r} in {source} is {shown}: {error}") from None


def _convert(kind: Any, value: Any) -> Any:
    if get_origin(kind) is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        each = str if get_args(kind)[0] is str else _network
        return tuple(each(str(part).strip()) for part in parts if str(part).strip())
    if kind == Rate | None:
        return Rate.parse(str(value)) if value else None
    if kind is bool:
        return _boolean(value)
    if kind in (int, float):
        return _number(kind, value)
    if isinstance(value, bool):
        raise TypeError(f"expected {kind.__name__}, got true or false")
    return kind(value)


def _number(kind: type[int] | type[float], value: Any) -> int | float:
    expected = "a whole number" if kind is int else "a number"
    try:
        number = float(value) if kind is float else int(str(value))
    except ValueError:
        raise ValueError(f"expected {expected}") from None
    if isinstance(value, bool) or not isfinite(number):
        raise ValueError(f"expected {expected}")
    return number


def _boolean(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    try:
        return words[str(value).lower()]
    except KeyError:
        raise ValueError("expected true or false") from None


def _network(text: str) -> Network:
    return ip_network(text, strict=False)


def _shown(item: Field[Any]) -> str:
    if item.default is MISSING:
        return ""
    return "" if item.default in ((), None) else str(item.default)
