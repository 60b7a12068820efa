"""One prediction after the other: made, failed, canceled."""

import asyncio
import json
from dataclasses import replace

import pytest

from retouch.domain.edit import Edit
from retouch.domain.prediction import Cancel, Status
from retouch.engine.engine import StepEngine
from retouch.engine.families.toy import Stage, ToyFamily
from retouch.logs import configure
from retouch.ports import Job
from retouch.testing import FakeClock, MemoryStore
from tests.unit.worker.working import DictBlobs, Gate, ended, prediction, working


async def test_a_prediction_becomes_a_stored_picture() -> None:
    store, blobs = MemoryStore(), DictBlobs()
    await store.add(prediction())

    async with working(store, blobs):
        done = await ended(store)

    assert done.status is Status.SUCCEEDED
    assert [output.key for output in done.outputs] == ["p/1/0.png"]
    assert blobs.kept["p/1/0.png"].startswith(b"\x89PNG")
    assert done.logs.startswith("Using seed: 1\n")
    assert "predict_time" in done.metrics


async def test_a_broken_job_fails_and_its_neighbour_does_not() -> None:
    def breaks(stage: Stage, prompt: str) -> bool:
        return stage == "step" and prompt == "break"

    store = MemoryStore()
    await store.add(prediction("bad", Edit(prompt="break", seed=1)))
    await store.add(prediction("good"))

    async with working(store, family=ToyFamily(breaks=breaks)):
        bad, good = await ended(store, "bad"), await ended(store, "good")

    assert bad.status is Status.FAILED
    assert bad.error == "The toy broke at step, as it was told to."
    assert good.status is Status.SUCCEEDED


async def test_what_the_engine_logs_is_as_all_lines_and_names_prediction_and_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("warning", "json")
    store = MemoryStore()
    await store.add(replace(prediction(edit=Edit(prompt="break", seed=1)), request="mine-1"))

    async with working(store, family=ToyFamily(breaks=lambda stage, _: stage == "step")):
        await ended(store)

    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    lines = {line["event"]: line for line in said}
    about = {"job": "p/1", "prediction": "p", "attempt": 1, "worker": "w", "request": "mine-1"}
    for event, name, words in (
        ("engine.family_failed", "exception", "EngineFailed: The toy broke at step"),
        ("engine.job_broken", "reason", "The toy broke at step"),
    ):
        assert lines[event].items() >= about.items()
        assert words in lines[event][name]


async def test_cancel_while_running_frees_the_engine_at_the_next_step() -> None:
    store, gate = MemoryStore(), Gate()
    await store.add(prediction())

    async with working(store, family=ToyFamily(steps=1000, sleep=gate)):
        await asyncio.to_thread(gate.reached.wait, 30)
        assert await store.advance("p", Cancel("me"))
        gate.opened.set()
        await store.add(prediction("next", Edit(prompt="go", seed=1, steps=1)))
        done = await ended(store, "next")

    canceled = await store.get("p")
    assert canceled is not None
    assert canceled.status is Status.CANCELED
    assert done.status is Status.SUCCEEDED


async def test_cancel_while_queued_never_reaches_the_engine() -> None:
    store, gate = MemoryStore(), Gate()
    gate.opened.set()
    await store.add(prediction())
    await store.advance("p", Cancel("me"))
    await store.add(prediction("next"))

    async with working(store, family=ToyFamily(sleep=gate)):
        await ended(store, "next")

    names = [event.name for event in await store.events("p")]
    assert names == ["created", "canceled"]


async def test_the_engine_learns_whose_job_it_is_how_urgent_and_until_when() -> None:
    store, added = MemoryStore(), []

    class Listening(StepEngine):
        def add(self, job: Job) -> None:
            added.append(job)
            super().add(job)

    await store.add(replace(prediction(), owner="you", priority=-1, deadline=2e9))
    engine = Listening(ToyFamily(), clock=FakeClock())

    async with working(store, engine=engine):
        await ended(store)

    assert [(job.owner, job.priority, job.deadline) for job in added] == [("you", -1, 2e9)]
