"""Callers that send edits until each is acknowledged, and the receiver of their webhooks."""

import asyncio
import json
import random
import sys
from collections import Counter, defaultdict
from contextlib import suppress

import httpx2

MODEL = "black-forest-labs/flux-kontext-dev"
CREATORS = 64
ACKNOWLEDGED_S = 300.0
PICTURE = (  # a red PNG of one pixel
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElF"
    "TkSuQmCC"
)


class Receiver:
    """Takes every webhook and remembers which delivery told the end of which prediction."""

    def __init__(self) -> None:
        self.told: dict[str, Counter[str]] = defaultdict(Counter)
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "0.0.0.0", 0)  # noqa: S104  127.x.y.z
        self.port = server.sockets[0].getsockname()[1]
        return server

    def url(self, number: int) -> str:
        """A creator's own address: a sender posts only so many at once to one host."""
        return f"http://127.0.1.{number + 1}:{self.port}/hook"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            self.told[body["id"]][headers["webhook-id"]] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()


class Creators:
    """64 callers that each send what they were granted, repeatedly until it is acknowledged."""

    def __init__(self, url: str, receiver: Receiver) -> None:
        self._url, self._receiver = url, receiver
        self._granted = [asyncio.Semaphore(0) for _ in range(CREATORS)]
        self._total = 0
        self._client = httpx2.AsyncClient(
            timeout=30, limits=httpx2.Limits(max_connections=CREATORS), trust_env=False
        )
        self.acknowledged: dict[str, str] = {}  # name of a request: id of its prediction
        self._progress = asyncio.Event()
        self.refused: Counter[str] = Counter()

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run(number)) for number in range(CREATORS)]

    def grant(self, each: int) -> None:
        """Let each make that many predictions more."""
        self._total += each * CREATORS
        for semaphore in self._granted * each:
            semaphore.release()

    async def through(self, left: int) -> None:
        """Return once no more than this many of what was granted are not acknowledged."""
        async with asyncio.timeout(ACKNOWLEDGED_S):
            while self._total - len(self.acknowledged) > left:
                self._progress.clear()
                await self._progress.wait()

    async def stop(self) -> None:
        """Let everything granted be acknowledged, then end."""
        await self.through(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _run(self, number: int) -> None:
        for count in range(sys.maxsize):
            await self._granted[number].acquire()
            name = f"{number}-{count}"
            while name not in self.acknowledged:
                await self._create(name, self._receiver.url(number))

    async def _create(self, name: str, hook: str) -> None:
        values = {"prompt": name, "input_image": PICTURE, "num_inference_steps": 30}
        body = {"input": values, "webhook": hook, "webhook_events_filter": ["completed"]}
        try:
            answer = await self._client.post(
                f"{self._url}/v1/models/{MODEL}/predictions",
                json=body,
                headers={"Idempotency-Key": name},
            )
        except httpx2.HTTPError as error:
            self.refused[type(error).__name__] += 1
        else:
            if answer.status_code in (200, 201):
                self.acknowledged[name] = answer.json()["id"]
                self._progress.set()
                return
            self.refused[str(answer.status_code)] += 1
        await asyncio.sleep(random.uniform(0.1, 0.3))  # noqa: S311  not all at once
