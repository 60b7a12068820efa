"""Health and figures: what they say, and to whom."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from retouch.domain.errors import Busy
from retouch.domain.grant import Grant, Scope
from retouch.ports import Enlisted, ProcessKind
from retouch.service.meters import WorkerMeters
from retouch.service.readiness import Readiness
from retouch.testing import MemoryStore

CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
PROMPT = {"input": {"prompt": "my private prompt"}}


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Each figure by its name and its labels' values, in the order of the labels' names."""
    return {
        (it.name, *(value for _, value in sorted(it.labels.items()))): it.value
        for family in text_string_to_metric_families(text)
        for it in family.samples
    }


async def test_figures_tell_what_happened_here(front: Any) -> None:
    await front.client.post(CREATE, json=PROMPT)
    await front.client.post(CREATE, json=PROMPT)
    await front.client.post(CREATE, json={"input": {}})
    await front.client.get("/v1/predictions/nope")
    await front.client.request("BREW", "/v1/predictions/nope")
    await front.start_one()
    front.clock.advance(30)

    answer = await front.client.get("/metrics")

    found = samples(answer.text)
    route = "/v1/models/{owner}/{name}/predictions"
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert found["retouch_queue_depth", "queued"] == 1
    assert found["retouch_queue_depth", "running"] == 1
    assert found["retouch_queue_oldest_wait_seconds",] >= 30
    assert found["retouch_http_requests_total", "POST", route, "201"] == 2
    assert found["retouch_http_requests_total", "POST", route, "422"] == 1
    assert found["retouch_http_request_seconds_count", "POST", route] == 3
    assert found["retouch_http_requests_total", "other", "/v1/predictions/{id}", "405"] == 1
    assert found["retouch_refusals_total", "invalid_edit"] == 1
    assert found["retouch_refusals_total", "not_found"] == 1
    assert found["retouch_database_up",] == 1


async def test_every_workers_figures_are_there_under_its_name(front: Any) -> None:
    for name, steps in (("a", 2), ("b", 3)):
        meters = WorkerMeters(lambda: 5_000)
        meters.decoder_died("overran")
        for _ in range(steps):
            meters.stepped(0.2)
        await front.store.enlist(Enlisted(name, ProcessKind.WORKER, meters.figures()))

    text = (await front.client.get("/metrics")).text

    found = samples(text)
    assert [found["retouch_step_seconds_count", name] for name in "ab"] == [2, 3]
    assert found["retouch_decoder_deaths_total", "overran", "a"] == 1
    assert found["retouch_device_free_bytes", "b"] == 5_000
    assert found["retouch_workers",] == 2
    assert text.count("# TYPE retouch_step_seconds ") == 1


async def test_a_worker_not_heard_of_is_left_out(front: Any) -> None:
    odd = Enlisted("odd", ProcessKind.WORKER, "no figures} at all")
    await front.store.enlist(replace(odd, name="gone", figures=WorkerMeters().figures()))
    await front.store.enlist(odd)
    front.clock.advance(10)
    await front.store.enlist(odd)
    front.clock.advance(10)

    found = samples((await front.client.get("/metrics")).text)

    assert found["retouch_workers",] == 1
    assert not [key for key in found if "gone" in key or "odd" in key]


async def test_without_a_database_the_process_still_tells_of_itself(
    front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(**_: object) -> None:
        raise Busy("the database is away")

    monkeypatch.setattr(front.store, "depth", away)

    found = samples((await front.client.get("/metrics")).text)

    assert found["retouch_database_up",] == 0
    assert not [key for key in found if key[0].startswith("retouch_queue_depth")]


async def test_figures_hold_no_key_no_prompt_and_no_paths_value(front: Any) -> None:
    headers = await front.key("a telling name")
    made = (await front.client.post(CREATE, json=PROMPT, headers=headers)).json()
    await front.client.get(f"/v1/predictions/{made['id']}", headers=headers)
    await front.client.get("/no/such/place?signature=s3cret")

    text = (await front.client.get("/metrics")).text

    secret = headers["authorization"].removeprefix("Bearer ")
    for private in (secret, "a telling name", "my private prompt", made["id"], "s3cret", "such"):
        assert private not in text


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
@pytest.mark.parametrize(
    ("scopes", "peer", "base_url", "headers", "is_let_in"),
    [
        (None, "127.0.0.1", "http://127.0.0.1:8787", {}, True),
        (None, "192.168.1.7", "http://127.0.0.1:8787", {}, False),
        (None, "127.0.0.1", "http://edit.example", {}, False),
        (None, "127.0.0.1", "http://127.0.0.1:8787", {"x_forwarded_for": "1.2.3.4"}, False),
        ({Scope.READ, Scope.WRITE}, "192.168.1.7", "http://edit.example", {}, False),
        ({Scope.OPERATE}, "192.168.1.7", "http://edit.example", {}, True),
    ],
    ids=["here", "another machine", "another name", "a proxy", "no scope", "an operator"],
)
async def test_operations_are_for_this_machine_and_for_operators(
    new_front: Any,
    path: str,
    scopes: set[Scope] | None,
    peer: str,
    base_url: str,
    headers: dict[str, str],
    is_let_in: bool,
) -> None:
    async def nobody() -> str | None:
        return "the worker is not up yet"

    async with new_front().serving(ready=nobody) as front:
        key = await front.key("k", Grant(scopes=frozenset(scopes or ())))
        async with front.caller(peer, base_url, **headers) as client:
            answer = await client.get(path, headers=key if scopes else {})

    if path == "/readyz":
        assert (answer.status_code, "detail" in answer.json()) == (503, is_let_in)
    else:
        assert (answer.status_code == 200) is is_let_in
        assert is_let_in or answer.status_code == (403 if scopes else 401)


class Storage:
    """Blobs of which nothing but `list` is asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def list(self, prefix: str) -> Sequence[str]:
        if self._error is not None:
            raise self._error
        return ()


class ReadOnly(MemoryStore):
    """A database that cannot be written."""

    async def strike_silent(self, *, for_s: float) -> None:
        raise Busy("the database is away")


class Frozen(MemoryStore):
    """A database that never answers."""

    async def strike_silent(self, *, for_s: float) -> None:
        await asyncio.Event().wait()


def full() -> None:
    raise Busy("its disk is nearly full")


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({}, None),
        ({"blobs": Storage(Busy("the storage is away"))}, "the storage is away"),
        ({"roster": ReadOnly()}, "the database is away"),
        ({"require_room": full}, "its disk is nearly full"),
        ({"is_own_up": lambda: False}, "the worker is not up yet"),
    ],
    ids=["all is well", "storage", "database", "disk", "worker"],
)
async def test_readiness_names_what_is_missing(change: dict[str, Any], missing: str | None) -> None:
    well = {"roster": MemoryStore(), "blobs": Storage(), "require_room": lambda: None}
    readiness = Readiness(**{**well, "is_own_up": lambda: True, **change})

    assert await readiness.missing() == missing


async def test_a_worker_elsewhere_is_as_good_as_our_own() -> None:
    store = MemoryStore()
    readiness = Readiness(
        roster=store, blobs=Storage(), require_room=lambda: None, own_worker="serve-here"
    )
    await store.enlist(Enlisted("serve-here", ProcessKind.WORKER, ""))  # it died a moment ago
    await store.enlist(Enlisted("web-elsewhere", ProcessKind.WEB, ""))

    without = await readiness.missing()
    await store.enlist(Enlisted("elsewhere", ProcessKind.WORKER, ""))

    assert without == "the worker is not up yet"
    assert await readiness.missing() is None


async def test_a_database_that_never_answers_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("retouch.service.readiness.WITHIN_S", 0.01)
    readiness = Readiness(roster=Frozen(), blobs=Storage(), require_room=lambda: None)

    assert "did not answer" in (await readiness.missing() or "")
