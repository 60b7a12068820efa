"""Log lines: structured, as text on a terminal or JSON elsewhere, never with a secret in them."""

import asyncio
import atexit
import logging
import re
import sys
import threading
import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, TextIO

import msgspec
import structlog

from retouch.domain.errors import Busy, cause_of

_SECRET_NAMES = re.compile(
    r"authorization|x-key|x-api-key|api_key|token|secret|password|signature", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"rt_[0-9A-Za-z]{8}_[0-9A-Za-z_-]{20,}|whsec_\S+|(?<=signature=)[^&\s\"']+"
)
_DATA_URI = re.compile(r"data:[\w/+.-]*;base64,[A-Za-z0-9+/=_-]{40,}")

Line = MutableMapping[str, Any]

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""The id of the HTTP request under way, which its lines bear."""


def configure(level: str, form: str, *, for_good: bool = False, gathered: bool = False) -> None:
    """Send structlog's and the standard library's lines to stderr in one shape.

    `for_good` says that this process will not configure them again, so loggers are built once.
    The lines of one turn of the event loop are written together when they are `gathered`.
    """
    stream: Any = sys.stderr
    if gathered:
        stream = Gathered(sys.stderr)
        atexit.register(stream.pour)
    is_seen = sys.stderr.isatty()
    as_json = form == "json" or (form == "auto" and not is_seen)
    shared: list[Any] = [
        name_request,
        structlog.stdlib.add_log_level,
        stamp,
        tell_outage,
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer = _as_json if as_json else structlog.dev.ConsoleRenderer(colors=is_seen)
    # Straight to stderr: by way of the standard library a line would cost three times as much.
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=structlog.WriteLoggerFactory(stream),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=for_good,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for noisy in ("httpx2", "httpcore2", "alembic", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class Gathered:
    """A stream that is written once for all lines of a turn of the running event loop.

    Each write of its own would cost a busy server several per cent. Where no loop runs, lines are
    written at once.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._texts: list[str] = []
        self._due_in: asyncio.AbstractEventLoop | None = None
        self._pouring = threading.Lock()

    def write(self, text: str) -> None:
        """Take a line, or a part of one."""
        self._texts.append(text)

    def flush(self) -> None:
        """Have what was taken written soon."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.pour()
        else:
            if self._due_in is not loop:
                self._due_in = loop
                loop.call_soon(self.pour)

    def pour(self) -> None:
        """Write what was taken now."""
        with self._pouring:
            self._due_in = None
            count = len(self._texts)  # another thread may add to them
            if count:
                self._stream.write("".join(self._texts[:count]))
                del self._texts[:count]
                self._stream.flush()


def stamp(_logger: object, _method: str, line: Line) -> Line:
    """Say when this happened, in UTC."""
    seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    line["timestamp"] = f"{_second(seconds)}.{microseconds:06}Z"
    return line


@lru_cache(maxsize=2)  # a busy server's lines share it
def _second(number: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(number))


def name_request(_logger: object, _method: str, line: Line) -> Line:
    """Say during which request this happened."""
    request = REQUEST.get()
    if request:
        line.setdefault("request", request)
    return line


def tell_outage(_logger: object, _method: str, line: Line) -> Line:
    """Of an outage say what others said: hours of its traceback would fill a disk for nothing."""
    raised = line.get("exc_info")
    error = raised if isinstance(raised, BaseException) else raised and sys.exc_info()[1]
    if isinstance(error, Busy):
        del line["exc_info"]
        line.update(reason=str(error), cause=cause_of(error))
    return line


def _as_json(_logger: object, _method: str, line: Line) -> str:
    return msgspec.json.encode(line, enc_hook=repr).decode()


def redact(_logger: object, _method: str, line: Line) -> Line:
    """Replace credentials by name and by shape, and inline pictures by their length."""
    texts = "\n".join([value for value in line.values() if isinstance(value, str)])
    # Most lines hold nothing to hide, so one look at all their texts is what they cost.
    if not _may_hide(texts) and not any(map(_is_secret, line)):
        return line
    for name, value in line.items():
        if _is_secret(name):
            line[name] = "<hidden>"
        elif isinstance(value, str):
            line[name] = redact_text(value)
    return line


@lru_cache(maxsize=256)
def _is_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None


def redact_text(text: str) -> str:
    """The text without credentials and inline pictures."""
    if not _may_hide(text):
        return text
    text = _SECRET_TEXT.sub("<hidden>", text)
    return _DATA_URI.sub(lambda found: f"<data URI of {len(found[0])} characters>", text)


def _may_hide(text: str) -> bool:
    return "rt_" in text or "whsec_" in text or "signature=" in text or "data:" in text
