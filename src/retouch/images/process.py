"""Decoding in a child process: a hostile file can waste or kill that child and nothing else.

A child (`python -m retouch.images.child`) is started at the first decode, stays warm and is
reused; one that dies or takes too long is replaced at the next decode. It is started by exec,
with an empty environment, so it inherits neither torch nor secrets.

What a child says of an image, and that it took too long, is the image's doing and final. A death
may be somebody else's doing, so the image is tried once more in a fresh child.
"""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import IO, TypeVar

from retouch.domain.edit import Marks
from retouch.domain.errors import BadInput, Busy
from retouch.domain.picture import Mask, Picture
from retouch.images.decode import DEFAULT_LIMITS, NAMES, ImageLimits, checked_kind, undecodable
from retouch.images.frame import (
    FAILURES,
    MASKS,
    MAX_SENTENCE,
    PICTURE,
    PIXEL_BYTES,
    REPLY,
    REQUEST,
)

T = TypeVar("T", Picture, Mask)

TRIES = 2
"""Children that may die at an image before it is refused."""


class ProcessDecoder:
    """The `Decoder` port over one or two long-lived children.

    Each of the `processes` children may map `memory_bytes` of address space and take `timeout_s`
    seconds for one image; both overruns are a BadInput, and so is an image that two died at.
    """

    def __init__(
        self,
        limits: ImageLimits = DEFAULT_LIMITS,
        *,
        processes: int = 1,
        timeout_s: float = 20.0,
        memory_bytes: int = 1536 << 20,
        on_death: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_death` is told why a child was lost at an image: `overran` or `died`."""
        self._limits = limits
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._on_death = on_death
        self._threads = ThreadPoolExecutor(processes, "decode")
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._is_stopped = False

    async def start(self) -> None:
        """Nothing to do: children start when first needed."""

    async def stop(self) -> None:
        """End the children; a decode under way or after it is Busy. Safe to call twice."""
        with self._lock:
            self._is_stopped = True
            children = [*self._idle, *self._busy]
            self._idle.clear()
        for child in children:
            child.kill()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        for child in children:
            child.close()

    async def decode(self, data: bytes) -> Picture:
        """An upright sRGB picture; raises BadInput with a sentence fit for the caller.

        A cancelled call leaves its child to finish and be reused.
        """
        return await self._run(data, PICTURE, Picture)

    async def decode_mask(self, data: bytes, marks: Marks) -> Mask:
        """What a mask marks; raises BadInput, in words that speak of a mask."""
        return await self._run(data, MASKS[marks], Mask)

    async def _run(self, data: bytes, wanted: bytes, kind: type[T]) -> T:
        checked_kind(data, self._limits, NAMES[kind])
        if self._is_stopped:
            raise Busy("The server is stopping.")
        work = partial(self._decode, data, wanted, kind)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _decode(self, data: bytes, wanted: bytes, kind: type[T]) -> T:
        for _ in range(TRIES):
            with suppress(_Died):
                return self._try(data, wanted, kind)
        raise undecodable(NAMES[kind], "it is damaged or needs too much memory")

    def _try(self, data: bytes, wanted: bytes, kind: type[T]) -> T:
        child = self._take()
        try:
            return child.decode(data, wanted, kind, self._timeout_s)
        except (BadInput, _Died):
            if self._is_stopped:  # not the image's fault
                raise Busy("The server is stopping.") from None
            raise
        finally:
            if child.lost and not self._is_stopped:
                self._on_death(child.lost)
            self._give_back(child)

    def _take(self) -> "_Child":
        with self._lock:
            if self._is_stopped:
                raise Busy("The server is stopping.")
            while self._idle:
                child = self._idle.pop()
                if child.is_alive:
                    break
                child.close()
            else:
                child = _Child(self._limits, self._memory_bytes)
            self._busy.add(child)
            return child

    def _give_back(self, child: "_Child") -> None:
        with self._lock:
            self._busy.discard(child)
            if child.is_alive and not self._is_stopped:
                self._idle.append(child)
                return
        child.close()


class _Died(Exception):
    """A child ended, or said what no sound one says, before it answered."""


class _Child:
    """One decoding process and the pipe to it. Used by one thread at a time."""

    def __init__(self, limits: ImageLimits, memory_bytes: int) -> None:
        numbers = (memory_bytes, limits.max_bytes, limits.max_pixels, limits.max_side)
        self._process = subprocess.Popen(  # noqa: S603  our own module, numbers for arguments
            [sys.executable, "-P", "-m", "retouch.images.child", *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # an interrupt at the terminal is not for it
        )
        self._max_pixels = limits.max_pixels
        self._is_broken = False
        self.lost = ""  # why it was, once it was lost at an image

    @property
    def is_alive(self) -> bool:
        return not self._is_broken and self._process.poll() is None

    def decode(self, data: bytes, wanted: bytes, kind: type[T], timeout_s: float) -> T:
        """Raises BadInput for a refusal or an overrun, _Died when there is no answer."""
        overran = threading.Event()

        def end() -> None:
            overran.set()
            self.kill()

        timer = threading.Timer(timeout_s, end)
        timer.daemon = True
        timer.start()
        try:
            return self._exchange(data, wanted, kind)
        except (OSError, EOFError):
            self.kill()
            if not overran.is_set():
                self.lost = "died"
                raise _Died from None
            self.lost = "overran"
            raise undecodable(NAMES[kind], f"it takes longer than {timeout_s:g} s") from None
        finally:
            timer.cancel()

    def _exchange(self, data: bytes, wanted: bytes, kind: type[T]) -> T:
        to_child, from_child = self._process.stdin, self._process.stdout
        if to_child is None or from_child is None:
            raise EOFError
        to_child.write(REQUEST.pack(wanted, len(data)))
        to_child.write(data)
        to_child.flush()
        reply = read_reply(from_child, self._max_pixels)
        if not isinstance(reply, kind):
            raise EOFError
        return reply

    def kill(self) -> None:
        self._is_broken = True
        self._process.kill()

    def close(self) -> None:
        """Reap it and close its pipes."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what it never read is still buffered
                    pipe.close()


def read_reply(pipe: IO[bytes], max_pixels: int) -> Picture | Mask:
    """A child's answer, which nothing is believed of: a hostile file may have taken it over.

    Raises BadInput for a refusal, EOFError for what no sound child says.
    """
    kind, width, height, length = REPLY.unpack(_read(pipe, REPLY.size))
    failure = next((it for it, letter in FAILURES.items() if letter == kind), None)
    if failure is not None and length <= MAX_SENTENCE:
        raise BadInput(failure, _read(pipe, length).decode("utf-8", "replace"))
    pixels = width * height
    if kind not in PIXEL_BYTES or not 0 < pixels <= max_pixels:
        raise EOFError
    if length != pixels * PIXEL_BYTES[kind]:
        raise EOFError
    make = Picture if kind == PICTURE else Mask
    return make(width, height, _read(pipe, length))


def _read(pipe: IO[bytes], length: int) -> bytes:
    body = pipe.read(length)
    if len(body) < length:
        raise EOFError
    return body
