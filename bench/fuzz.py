"""Mutated pictures through the decoder process, and mutated requests through a real server.

    python bench/fuzz.py [--images 100000] [--requests 20000] [--seed 1] [--quick]

Pictures go the way an input goes, through one `ProcessDecoder`: truncated, bits turned, checksums
wrong, chunks huge, formats spliced. Each must decode or be refused in a sentence of ours.
Requests go over sockets to `retouch serve` with the toy weights: odd values, keys, headers, paths,
methods, damaged bodies, pictures and frames, to every address of the five protocols. None may get
a 5xx or, where it is HTTP, no answer; and the server must be the same process at the end.

Memory is the resident size from /proc (Linux): the most a decoder ever had, and how far the
server and its worker grew after the first tenth of the requests. Prints tables and, last, one JSON
object; ends with 1 where anything failed. The same seed makes the same pictures; requests also
use ids that answers named, so their order may differ.
"""

import argparse
import asyncio
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shared.aims import Aim, tell
from shared.hostile_images import hostile_image
from shared.hostile_requests import Request, hostile_request
from shared.watching import memory_mb, worker_pid

from retouch.domain.errors import BadInput
from retouch.images.process import ProcessDecoder
from retouch.running import RunningServer, running_server

QUICK_IMAGES, QUICK_REQUESTS = 5_000, 1_000
CALLERS = 8
ANSWER_S = 60.0  # an answer that is owed comes within this
UNFRAMED_S = 0.5  # and one that is not owed, within this or never
DECODER_MB = 512  # far below the address space a decoder may map
GROWTH_MB = 150
SHOWN = 10
AIMS = (
    *(Aim(name, "<=", 0) for name in ("failures", "decoder_deaths", "request_failures")),
    Aim("decoder_peak_mb", "<=", DECODER_MB),
    *(Aim(f"{who}_grew_mb", "<=", GROWTH_MB) for who in ("caller", "web", "worker")),
)
_NUMBER = re.compile(r"\d+")
_ID = re.compile(rb'"(?:id|request_id)":\s?"([0-9a-z]{26})"')


def rate_of(count: int, since: float) -> float:
    return round(count / (time.monotonic() - since), 1)


# -- pictures --------------------------------------------------------------------------------------


@dataclass
class Decoded:
    """What came of the pictures."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    children: set[int] = field(default_factory=set)
    deaths: Counter[str] = field(default_factory=Counter)
    peak_mb: float = 0.0


async def decode_one(decoder: ProcessDecoder, name: str, data: bytes, seen: Decoded) -> None:
    """Decode one file and judge what comes of it."""
    try:
        picture = await decoder.decode(data)
    except BadInput as error:
        said = str(error)
        if not said.startswith("The input image ") or "/" in said or "Traceback" in said:
            seen.failures.append(f"{name}: {said}")
        seen.outcomes[_NUMBER.sub("N", said)] += 1
    except Exception as error:  # noqa: BLE001  anything else is a finding
        seen.failures.append(f"{name}: {type(error).__name__}: {error}")
    else:
        if len(picture.data) != picture.width * picture.height * 3:
            seen.failures.append(f"{name}: {picture.width}x{picture.height} of other pixels")
        seen.outcomes["decoded"] += 1


def decoder_pids() -> set[int]:
    """The decoding processes this one has started and not ended."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has ended meanwhile
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


async def fuzz_images(count: int, seed: int) -> dict[str, Any]:
    """Decode that many; the figures."""
    draw, seen, started = random.Random(seed), Decoded(), time.monotonic()  # noqa: S311  no secret
    decoder = ProcessDecoder(on_death=lambda reason: seen.deaths.update([reason]))
    await decoder.decode(_sound())
    before = memory_mb("self")
    for done in range(1, count + 1):
        await decode_one(decoder, *hostile_image(draw), seen)
        if done % 500 == 0 or done == count:
            pids = decoder_pids()
            seen.children |= pids
            seen.peak_mb = max(seen.peak_mb, *(memory_mb(pid, "VmHWM") for pid in pids), 0)
        if done % 20_000 == 0:
            print(f"  {done} pictures, {rate_of(done, started)}/s", flush=True)
    grown = memory_mb("self") - before
    await decoder.stop()
    print(f"{'pictures':>9}  outcome")
    for outcome, number in seen.outcomes.most_common():
        print(f"{number:>9}  {outcome}")
    show(seen.failures)
    return {
        "images": sum(seen.outcomes.values()),
        "decoded": seen.outcomes["decoded"],
        "failures": len(seen.failures),
        "decoders": len(seen.children),
        "decoder_deaths": seen.deaths.total(),
        "decoder_peak_mb": round(seen.peak_mb),
        "caller_grew_mb": round(grown),
        "images_per_s": rate_of(count, started),
    }


def _sound() -> bytes:
    from shared.hostile_images import seeds

    return seeds()[0]


# -- requests --------------------------------------------------------------------------------------


@dataclass
class Answered:
    """What came of the requests."""

    left: int
    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    done: int = 0


async def exchange(host: str, port: int, request: Request) -> bytes:
    """Send it; the beginning of what comes back, nothing if the server just hung up."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request.wire(f"{host}:{port}"))
        async with asyncio.timeout(ANSWER_S if request.is_framed else UNFRAMED_S):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 100 "):  # asked for by `expect`; the answer follows
                head = await reader.readuntil(b"\r\n\r\n")
            if b"text/event-stream" in head:
                return head
            return head + await reader.read(4096)
    except asyncio.IncompleteReadError as cut:
        return cut.partial
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def call(host: str, port: int, draw: random.Random, seen: Answered) -> None:
    """Send hostile requests until none are left."""
    while seen.left > 0:
        seen.left -= 1
        name, request = hostile_request(draw, seen.ids)
        try:
            answer = await exchange(host, port, request)
        except TimeoutError:
            answer, status = b"", "late"
        else:
            status = answer[9:12].decode("latin-1") or "none"
        seen.done += 1
        seen.statuses[f"{request.protocol} {status}"] += 1
        if status.startswith("5") or (request.is_framed and not status.isdecimal()):
            place = f"{request.method} {request.path[:100]} {status}"
            sent = f"{name} {dict(request.headers)} {request.body[:300]!r}"
            seen.failures.append(f"{place}\n    {sent}\n    {answer[-300:]!r}")
        if (found := _ID.search(answer)) and len(seen.ids) < 200:
            seen.ids.append(found[1].decode())


async def fuzz_requests(server: RunningServer, count: int, seed: int) -> dict[str, Any]:
    """Send that many; the figures."""
    started, at = time.monotonic(), urlsplit(server.url)
    web, worker = server.process.pid, await first_worker(server)
    seen = Answered(count)
    before: dict[int, float] = {}
    draws = [random.Random(seed * 1000 + n) for n in range(CALLERS)]  # noqa: S311  no secret
    callers = [
        asyncio.create_task(call(at.hostname or "", at.port or 0, draw, seen)) for draw in draws
    ]
    while (await asyncio.wait(callers, timeout=1))[1]:
        if not before and seen.done >= count / 10:
            before = {pid: memory_mb(pid) for pid in (web, worker)}
    for caller in callers:
        caller.result()
    grew = {pid: memory_mb(pid) - mb for pid, mb in before.items()}
    rate = rate_of(count, started)
    if server.process.poll() is not None or worker_pid(server) != worker:
        seen.failures.append("the server or its worker is another process than at the start")
    logged = [line for line in server.log if '"level": "error"' in line]
    table(seen)
    show(seen.failures)
    show([json.loads(line).get("exception", line)[-400:] for line in logged])
    return {
        "requests": seen.done,
        "request_failures": len(seen.failures),
        "accepted": sum(n for key, n in seen.statuses.items() if key.split()[1].startswith("2")),
        "errors_logged": len(logged),
        "web_grew_mb": round(grew.get(web, 0)),
        "worker_grew_mb": round(grew.get(worker, 0)),
        "web_peak_mb": round(memory_mb(web, "VmHWM")),
        "requests_per_s": rate,
    }


async def first_worker(server: RunningServer) -> int:
    """The process id of the worker, once it has started."""
    async with asyncio.timeout(60):
        while (pid := worker_pid(server)) is None:  # noqa: ASYNC110  its log is all there is
            await asyncio.sleep(0.1)
        return pid


def table(seen: Answered) -> None:
    """Statuses by protocol."""
    statuses = sorted({key.split()[1] for key in seen.statuses})
    print(f"{'protocol':<11}" + "".join(f"{status:>7}" for status in statuses))
    for protocol in sorted({key.split()[0] for key in seen.statuses}):
        numbers = (seen.statuses[f"{protocol} {status}"] for status in statuses)
        print(f"{protocol:<11}" + "".join(f"{number:>7}" for number in numbers))


def show(failures: list[str]) -> None:
    """Some failures: of those that begin with the same line, the first."""
    kinds: dict[str, str] = {}
    for failure in failures:
        kinds.setdefault(failure.partition("\n")[0], failure)
    for failure in list(kinds.values())[:SHOWN]:
        print(f"  FAILED {failure}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    images, requests = given.images, given.requests
    if given.quick:
        images, requests = QUICK_IMAGES, QUICK_REQUESTS
    figures: dict[str, Any] = {"seed": given.seed}
    if images:
        figures |= asyncio.run(fuzz_images(images, given.seed))
    if requests:
        with (
            tempfile.TemporaryDirectory() as folder,
            running_server(Path(folder), "--weights", "toy", "--log-format", "json") as server,
        ):
            figures |= asyncio.run(fuzz_requests(server, requests, given.seed))
    sys.exit(not tell(figures, AIMS))


if __name__ == "__main__":
    main()
