"""A create whose connection broke, and is sent again: one prediction, not several."""

import asyncio
import json
from typing import Any

import pytest

from retouch.domain.prediction import Cancel

CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
BODY = json.dumps({"input": {"prompt": "make it blue"}}).encode()


class Caller:
    """One create over a connection that can break at any moment."""

    def __init__(self, front: Any, path: str = CREATE, body: bytes = BODY, **headers: str) -> None:
        self.gone = asyncio.Event()
        self.status: int | None = None
        self._asked, self._body = False, body
        fields = {"host": "127.0.0.1:8787", **headers}
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "scheme": "http",
            "server": ("127.0.0.1", 8787),
            "client": ("127.0.0.1", 4711),
        }
        self.task = asyncio.create_task(front.app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]


async def queued(front: Any, count: int) -> None:
    """Wait until so many predictions exist."""
    while len(await front.store.page(None, limit=9)) < count:
        await front.store.changed(5)


async def count(front: Any) -> int:
    return len(await front.store.page(None, limit=9))


async def test_a_create_repeated_since_its_connection_broke_happens_once(front: Any) -> None:
    first = Caller(front, prefer="wait")
    await queued(front, 1)
    first.gone.set()
    others = [Caller(front, prefer="wait=5") for _ in range(5)]
    await front.finish_one()
    await asyncio.gather(first.task, *(it.task for it in others))

    assert await count(front) == 1
    assert {it.status for it in others} == {201}


async def test_connections_that_all_break_before_the_create_is_on_disk_make_one(
    front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_open, add = asyncio.Event(), front.store.add

    async def slowly(*arguments: Any, **more: Any) -> None:
        await is_open.wait()
        await add(*arguments, **more)

    monkeypatch.setattr(front.store, "add", slowly)
    callers = []
    for _ in range(6):
        callers.append(Caller(front))
        callers[-1].gone.set()
    is_open.set()
    await asyncio.gather(*(it.task for it in callers))

    assert await count(front) == 1


async def test_equal_creates_of_callers_who_listen_are_as_many_predictions(front: Any) -> None:
    callers = [Caller(front, prefer="wait") for _ in range(3)]
    await queued(front, 3)
    for _ in callers:
        await front.finish_one()
    await asyncio.gather(*(it.task for it in callers))
    again = Caller(front)
    await again.task

    assert await count(front) == 4


async def test_another_create_is_another_prediction(front: Any) -> None:
    first = Caller(front)
    first.gone.set()
    await first.task
    other = json.dumps({"input": {"prompt": "make it red"}}).encode()
    for caller in (Caller(front, body=other), Caller(front, f"{CREATE}?x=1")):
        await caller.task

    assert await count(front) == 3


async def test_what_its_caller_canceled_is_made_anew(front: Any) -> None:
    first = Caller(front)
    first.gone.set()
    await first.task
    (made,) = await front.store.page(None, limit=9)
    await front.store.advance(made.id, Cancel(by="owner"))
    await Caller(front).task

    assert await count(front) == 2


async def test_an_answer_nobody_heard_is_forgotten_after_a_while(front: Any) -> None:
    front.services.unheard._keep_s = 0.0
    first = Caller(front)
    first.gone.set()
    await first.task
    forgotten = asyncio.Event()
    asyncio.get_running_loop().call_later(0, forgotten.set)  # after its own
    await forgotten.wait()
    await Caller(front).task

    assert await count(front) == 2
    assert front.services.unheard._creates == {}
