"""What it costs the web process to keep idle followers of predictions on the line.

    python bench/followers.py [--followers 5000] [--quick]

`retouch web`, which has no worker, holds server-sent events open for that many connections, spread
over 50 queued predictions; the client is this process. The figure is the growth of the web
process's memory (PSS) and its whole, once every follower has its first line, and the processor
time it spends while nothing happens. Then every prediction is cancelled, and each follower has to
be told the end. `--quick` has 500. Prints a table and, last, one JSON object; exits 1 above the
limit of 300 MB or when a follower was not told.
"""

import argparse
import asyncio
import json
import os
import resource
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shared.aims import Aim, tell
from shared.servers import pss_mb

from retouch.running import RunningServer

CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
PREDICTIONS = 50
LIMIT_MB = 300.0
IDLE_S = 5.0
TOLD_S = 120.0
AT_ONCE = 64  # connections being opened at a time

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--followers", type=int, default=5000)
    parser.add_argument("--quick", action="store_true", help="500 followers")
    options = parser.parse_args()
    count = 500 if options.quick else options.followers
    allow_files(count + 200)
    with tempfile.TemporaryDirectory() as folder:
        server = RunningServer(Path(folder, "data"), command="web")
        try:
            figures = asyncio.run(measure(server, count))
        finally:
            server.stop()
    for words, name, unit in (
        ("before", "before_mb", "MB"),
        ("with its followers", "with_mb", "MB"),
        ("each", "each_kb", "KB"),
        ("processor, idle", "idle_cpu_percent", "%"),
        ("all told the end in", "told_s", "s"),
    ):
        print(f"{words:<22}{figures[name]:>9.1f} {unit}")
    aims = (Aim("with_mb", "<=", LIMIT_MB), Aim("told", ">=", count))
    if not tell({name: round(value, 2) for name, value in figures.items()}, aims):
        raise SystemExit(1)


def allow_files(count: int) -> None:
    """Raise the limit of open files, here and in the server, as far as it may be raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if wanted < count:
        raise SystemExit(f"{count} open files are needed and the limit is {hard}: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


async def measure(server: RunningServer, count: int) -> dict[str, float]:
    """The figures; the server is as it was after."""
    made = [post(server.url + CREATE, {"input": {"prompt": f"{n}"}}) for n in range(PREDICTIONS)]
    before_mb = pss_mb(server.process.pid)
    gate = asyncio.Semaphore(AT_ONCE)

    async def opened(number: int) -> Stream:
        async with gate:
            return await follow(made[number % PREDICTIONS]["urls"]["stream"])

    streams = await asyncio.gather(*map(opened, range(count)))
    with_mb, spent_s = pss_mb(server.process.pid), cpu_s(server.process.pid)
    await asyncio.sleep(IDLE_S)
    spent_s = cpu_s(server.process.pid) - spent_s
    started = time.monotonic()
    ends = asyncio.gather(*(ended(reader) for reader, _ in streams))
    for prediction in made:
        await asyncio.to_thread(post, prediction["urls"]["cancel"])
    told = sum(await ends)
    told_s = time.monotonic() - started
    for _, writer in streams:
        writer.close()
    return {
        "followers": count,
        "before_mb": before_mb,
        "with_mb": with_mb,
        "each_kb": (with_mb - before_mb) * 1000 / count,
        "idle_cpu_percent": 100 * spent_s / IDLE_S,
        "told": told,
        "told_s": told_s,
    }


async def follow(url: str) -> Stream:
    """A connection that has had its first line."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=4096)
    writer.write(f"GET {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise RuntimeError(f"the server refused to be followed: {head.decode()}")
    await reader.readuntil(b"\n\n")
    return reader, writer


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the stream says that its prediction is over."""
    try:
        async with asyncio.timeout(TOLD_S):
            await reader.readuntil(b"event: done")
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        return False
    return True


def post(url: str, body: Any = None) -> Any:
    data = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310  our own
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  ours
        return json.load(answer)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
