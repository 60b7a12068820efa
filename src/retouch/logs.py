"""Log lines: structured, as text on a terminal or JSON elsewhere, never with a secret in them."""

import asyncio
import atexit
import logging
import re
import sys
import threading
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, TextIO

import msgspec
import structlog

_SECRET_NAMES = re.compile(
    r"authorization|x-key|x-api-key|api_key|token|secret|password|signature", re.I
)
_SECRET_TEXT = re.compile(
    r"rt_[0-9A-Za-z]{8}_[0-9A-Za-z_-]{20,}|whsec_\S+|(?<=signature=)[^&\s\"']+"
)
_DATA_URI = re.compile(r"data:[\w/+.-]*;base64,[A-Za-z0-9+/=_-]{40,}")

Line = MutableMapping[str, Any]


def configure(level: str, form: str, *, for_good: bool = False, gathered: bool = False) -> None:
    """Send structlog's and the standard library's lines to stderr in one shape.

    `for_good` says that this process will not configure them again, so loggers are built once.
    The lines of one turn of the event loop are written together when they are `gathered`.
    """
    stream: Any = sys.stderr
    if gathered:
        stream = Gathered(sys.stderr)
        atexit.register(stream.pour)
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer = JSON if as_json else structlog.dev.ConsoleRenderer()
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
            self._stream.write("".join(self._texts[:count]))
            del self._texts[:count]
            self._stream.flush()


def _dumps(line: Line, **_: Any) -> str:
    return msgspec.json.encode(line, enc_hook=repr).decode()


JSON = structlog.processors.JSONRenderer(_dumps)


def redact(_logger: object, _method: str, line: Line) -> Line:
    """Replace credentials by name and by shape, and inline pictures by their length."""
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
    # Most texts hold none, and this is every value of every line.
    if "rt_" in text or "whsec_" in text or "signature=" in text:
        text = _SECRET_TEXT.sub("<hidden>", text)
    if "data:" not in text:
        return text
    return _DATA_URI.sub(lambda found: f"<data URI of {len(found[0])} characters>", text)
