"""Requests to every address of every protocol, and what a stranger may make of them."""

import base64
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from retouch.protocols import DIALECTS
from shared.hostile_images import MUTATIONS, flip_bits, hostile_image, truncate

GOLDEN = Path(__file__).parents[2] / "tests" / "contract" / "protocols"
BOUNDARY = "edge-of-a-part"
ID = "0123456789abcdefghjkmnpqrs"


@dataclass(frozen=True, slots=True)
class Request:
    """One request before it is written on the wire. `is_framed` is false where the frame is bad."""

    protocol: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    raw: bytes = b""

    @property
    def is_framed(self) -> bool:
        """Whether it is HTTP at all, so that an answer is owed."""
        return not self.raw

    def wire(self, host: str) -> bytes:
        """The bytes to send."""
        if self.raw:
            return self.raw
        headers = {"host": host, "content-length": str(len(self.body)), "connection": "close"}
        lines = [f"{name}: {value}" for name, value in (headers | dict(self.headers)).items()]
        head = "\r\n".join([f"{self.method} {self.path} HTTP/1.1", *lines, "", ""])
        return head.encode("utf-8", "surrogateescape") + self.body


# -- sound requests --------------------------------------------------------------------------------


def seeds() -> list[Request]:
    """The golden calls of the five protocols, and one request to each address they have."""
    return [*_golden(), *_addresses()]


def _golden() -> Iterator[Request]:
    for dialect in DIALECTS:
        for name in ("parse", "refusals"):
            for pair in json.loads((GOLDEN / dialect.name / f"{name}.json").read_text()):
                yield _request(dialect.name, pair["call"])


def _request(protocol: str, call: Mapping[str, Any]) -> Request:
    headers = dict(call.get("headers", {}))
    if "parts" in call:
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        body = _form(call["parts"])
    else:
        kind, body = "application/json", json.dumps(call.get("body")).encode()
    params = call.get("params", {})
    model = f"/models/{params['owner']}/{params['name']}" if "owner" in params else ""
    path = call.get("path", f"/replicate/v1{model}/predictions")
    return Request(protocol, "POST", path, {"content-type": kind, **headers}, body)


def _form(parts: list[dict[str, str]]) -> bytes:
    lines = []
    for part in parts:
        file = f'; filename="{part["filename"]}"' if "filename" in part else ""
        content = base64.b64decode(part["base64"]) if "base64" in part else part["text"].encode()
        head = (
            f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{part["name"]}"{file}\r\n\r\n'
        )
        lines.append(head.encode() + content + b"\r\n")
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


def _addresses() -> Iterator[Request]:
    named = {"owner": "black-forest-labs", "name": "flux-kontext-pro", "model": "flux-kontext-pro"}
    for dialect in DIALECTS:
        for route in dialect.routes:
            path = re.sub(r"{(\w+)(:path)?}", lambda m: named.get(m[1], ID), route.path)
            body = b"{}" if route.method in ("POST", "PUT", "QUERY") else b""
            kind = {"content-type": "application/json"} if body else {}
            yield Request(dialect.name, route.method, dialect.mounts[0] + path, kind, body)


# -- mutations -------------------------------------------------------------------------------------

Mutation = Callable[[random.Random, Request], Request]

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 1e308, -0.0, 0.5),
    *("", " ", "\0", "\ud800", "\u202e", "é" * 5000, "x" * 70_000, "null", "-1", "1e9", "NaN"),
    *([], {}, [None], [[[]]], {"": None}, {"a": {"b": []}}, ["x"] * 1000),
    *(
        "data:,",
        "data:image/png;base64,",
        "data:;base64,////",
        "data:image/png;base64,%00",
        "data:",
    ),
    *("http://127.0.0.1:1/x.png", "http://[::1]/", "https://pictures.invalid/a", "file:///etc/x"),
    *("16:9", "0:0", "-1:2", "9" * 400 + ":1", "1024x1024", "0x0", "match_input_image", "auto"),
)
TEXTS = (
    *(b"", b"nul", b"NaN", b'{"prompt":NaN}', b'{"prompt":1e999}', b"[" * 5000, b'{"a":' * 3000),
    *(b"\xef\xbb\xbf{}", '{"prompt":"x"}'.encode("utf-16"), b'{"prompt":"\\ud800"}', b"\xff\xfe"),
    *(b'{"prompt":"a","prompt":["b"]}', b"1" * 5000, b'{"n":' + b"9" * 5000 + b"}", b'"text"'),
)
HEADERS = (
    *(("prefer", "wait=abc"), ("prefer", "wait=-1"), ("prefer", "wait=9" * 50)),
    *(("authorization", "Bearer"), ("authorization", "Key \xff"), ("x-key", "rt_" + "a" * 9000)),
    *(
        ("content-type", "text/plain"),
        ("content-type", "multipart/form-data"),
        ("range", "bytes=9-"),
    ),
    *(
        ("content-type", f"multipart/form-data; boundary={'b' * 300}"),
        ("content-type", "\xff/json"),
    ),
    *(("content-encoding", "gzip"), ("transfer-encoding", "gzip"), ("expect", "100-continue")),
    *(("idempotency-key", "k" * 3000), ("host", "other.example"), ("host", "[::1"), ("host", "")),
    *(("x-fal-queue-priority", "odd"), ("x-fal-request-timeout", "1e999"), ("last-event-id", "x")),
    *(
        ("x-forwarded-for", "1.2.3.4"),
        ("x-fal-target-url", "http://127.0.0.1/"),
        ("origin", "null"),
    ),
    *(("accept", "text/event-stream"), ("content-length", "99999999999"), ("content-length", "-1")),
)
QUERIES = (
    *("limit=-1", "limit=999999999999999999999", "cursor=%00", "cursor=eyJ9", "page=0&page_size=x"),
    *("after=%ff", "sync_mode=maybe", "webhook=http://[", "fal_webhook=%0d%0a", "logs=1&logs=2"),
    *("status=%F0%9F%8E%A8", "created_after=0000-00-00", "a" * 4000, "%", "=&=&;"),
)
PATHS = ("%00", "%2e%2e/%2e%2e/etc", "..%5c", "%ff%fe", "x" * 3000, "//", ";", "%F0%9F%8E%A8", "-1")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "QUERY", "TRACE", "BREW")


def odd_value(draw: random.Random, request: Request) -> Request:
    """One value somewhere in the JSON body is replaced by one that hardly fits."""
    return _with_json(draw, request, lambda: draw.choice(ODD))


def hostile_picture(draw: random.Random, request: Request) -> Request:
    """One value somewhere in the JSON body becomes a damaged picture as a data URI or bare."""

    def picture() -> str:
        text = base64.b64encode(hostile_image(draw)[1]).decode()
        head = draw.choice(("data:image/png;base64,", "data:image/webp;base64,", ""))
        return head + (text if draw.random() < 0.8 else truncate(draw, text.encode()).decode())

    return _with_json(draw, request, picture)


def other_keys(draw: random.Random, request: Request) -> Request:
    """A key of the JSON body is lost, renamed or joined by another."""
    body = _json(request)
    holder = draw.choice([it for it in _holders(body) if isinstance(it, dict)] or [None])
    if holder is None:
        return damaged_body(draw, request)
    if holder and draw.random() < 0.6:
        value = holder.pop(draw.choice(sorted(holder)))
        if draw.random() < 0.5:
            holder[draw.choice(_FIELDS)] = value
    else:
        holder[draw.choice(_FIELDS)] = draw.choice(ODD)
    return replace(request, body=_dumped(body))


def damaged_body(draw: random.Random, request: Request) -> Request:
    """The body's bytes are mutated as a picture's would be, or are no such thing at all."""
    if not request.body or draw.random() < 0.3:
        return replace(request, body=draw.choice(TEXTS))
    return replace(request, body=draw.choice(MUTATIONS)(draw, request.body))


def odd_header(draw: random.Random, request: Request) -> Request:
    """A header nobody sends."""
    name, value = draw.choice(HEADERS)
    changed = replace(request, headers={**request.headers, name: value})
    if name in ("content-length", "transfer-encoding"):  # now nobody can say where it ends
        return replace(changed, raw=changed.wire("127.0.0.1"))
    return changed


def odd_path(draw: random.Random, request: Request) -> Request:
    """A part of the path is replaced, or a query is put behind it."""
    if draw.random() < 0.5:
        return replace(request, path=f"{request.path}?{draw.choice(QUERIES)}")
    parts = request.path.split("/")
    parts[draw.randrange(1, len(parts))] = draw.choice(PATHS)
    return replace(request, path="/".join(parts))


def odd_method(draw: random.Random, request: Request) -> Request:
    """Another method."""
    return replace(request, method=draw.choice(METHODS))


def damaged_frame(draw: random.Random, request: Request) -> Request:
    """Bits of the request line and the headers are turned over."""
    head, end, body = request.wire("127.0.0.1").partition(b"\r\n\r\n")
    return replace(request, raw=flip_bits(draw, head) + end + body)


REQUEST_MUTATIONS: tuple[Mutation, ...] = (
    *(odd_value, odd_value, hostile_picture, other_keys, damaged_body),
    *(odd_header, odd_path, odd_method, damaged_frame),
)


def hostile_request(draw: random.Random, ids: list[str]) -> tuple[str, Request]:
    """One mutated request and the name of what was done to it last: one mutation, or two.

    `ids` are those that answers have named; half of the addresses that hold one get one of them.
    """
    request, name = draw.choice(_SEEDS), ""
    if ids and draw.random() < 0.5:
        request = replace(request, path=request.path.replace(ID, draw.choice(ids)))
    for _ in range(draw.choice((1, 1, 2))):
        mutation = draw.choice(REQUEST_MUTATIONS)
        request, name = mutation(draw, request), mutation.__name__
        if request.raw:
            break
    return name, request


def _with_json(draw: random.Random, request: Request, value: Callable[[], Any]) -> Request:
    body = _json(request)
    holder = draw.choice([it for it in _holders(body) if it] or [None])
    if holder is None:
        return replace(request, body=_dumped(value()))
    place = draw.choice(sorted(holder)) if isinstance(holder, dict) else draw.randrange(len(holder))
    holder[place] = value()
    return replace(request, body=_dumped(body))


def _json(request: Request) -> Any:
    try:
        return json.loads(request.body)
    except (ValueError, RecursionError):
        return None


def _dumped(body: Any) -> bytes:
    return json.dumps(body).encode()


def _holders(body: Any) -> Iterator[Any]:
    if isinstance(body, dict | list):
        yield body
        for value in body.values() if isinstance(body, dict) else body:
            yield from _holders(value)


_SEEDS = seeds()
_FIELDS = sorted(
    {name for it in _SEEDS for holder in _holders(_json(it)) if isinstance(holder, dict)
     for name in holder}
)  # fmt: skip
