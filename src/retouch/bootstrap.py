"""The composition root: the only module that knows every concrete class.

Builds the ports from `Settings` and hands them to the services, the web app and the worker.
Nothing here imports torch; the engine's family does when a worker process loads it.
"""

import asyncio
import hashlib
import multiprocessing
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from retouch.domain.errors import RetouchError
from retouch.settings import Settings

if TYPE_CHECKING:
    from retouch.blobs.store import ObstoreBlobs
    from retouch.engine.engine import Engine
    from retouch.store import SqlStore


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
