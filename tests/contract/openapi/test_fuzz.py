"""Requests generated from each document, sent to the app in memory.

Here in two protocols, for making requests from a document takes long; `make fuzz-api` sends
thousands to a real server in all five, with the same judgement of the answers.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import schemathesis
from schemathesis.python.asgi import shutdown_lifespans
from starlette.applications import Starlette

from bench.api_fuzz import Tally, config, fuzz
from retouch.web import create_app

CASES = 60


async def work(front: Any) -> None:
    """Finish whatever is asked for, at once."""
    while True:
        with suppress(ValueError):  # nothing waits
            while True:
                await front.finish_one()
        await front.store.changed(1.0)


@pytest.fixture
def app(new_front: Any) -> Iterator[tuple[Starlette, str]]:
    """The app with a worker beside it, and a key; its lifespan is schemathesis' to start."""
    front = new_front()
    app = create_app(front.services)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def working(served: Starlette) -> AsyncIterator[None]:
        async with inner(served), asyncio.TaskGroup() as group:
            worker = group.create_task(work(front))
            yield
            worker.cancel()

    app.router.lifespan_context = working
    authorization = asyncio.run(front.key())["authorization"]
    yield app, authorization.removeprefix("Bearer ")
    shutdown_lifespans()


@pytest.mark.parametrize("name", ["replicate", "bfl"])
def test_generated_requests_are_answered_as_promised(app: tuple[Starlette, str], name: str) -> None:
    served, key = app
    settings = config(key, seed=1, examples=3, is_thorough=False)
    tally = Tally()

    fuzz(schemathesis.openapi.from_asgi(f"/{name}/openapi.json", served, config=settings), tally)

    told = [f"{title}\n{text}" for title, text in tally.failures.items()]
    assert not told, "\n".join(told)
    assert tally.cases >= CASES
    assert tally.kinds["positive"] > 0 < tally.kinds["negative"]
    assert "200" in tally.statuses
