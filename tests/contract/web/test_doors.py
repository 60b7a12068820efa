"""Who is let in, what is refused, and that every address asks."""

import gzip
import re
from dataclasses import replace
from typing import Any

import pytest

from retouch.domain.grant import Grant, Scope
from retouch.protocols import DIALECTS
from retouch.protocols.base import Verb
from retouch.web import WebOptions
from retouch.web.addresses import table

CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
PROMPT = {"input": {"prompt": "x"}}
ADDRESSES = [
    (method, path)
    for path, entries in table(DIALECTS)
    for method, entry in entries.items()
    if "{ticket}" not in path and not entry.route.is_open
]


@pytest.mark.parametrize("scheme", ["Bearer", "Token", "Key", "bearer"])
async def test_a_key_opens_in_every_spelling(front: Any, scheme: str) -> None:
    secret = (await front.key())["authorization"].removeprefix("Bearer ")
    spelled = [{"authorization": f"{scheme} {secret}"}, {"x-key": secret}, {"X-API-KEY": secret}]

    answers = [await front.client.get("/v1/account", headers=headers) for headers in spelled]

    assert [it.status_code for it in answers] == [200, 200, 200]


WRONG = {"authorization": f"Bearer rt_abcdefgh_{'x' * 43}"}


CREATES = {
    entry.dialect.name: re.sub(r"\{.*?\}", "x", path)
    for path, entries in table(DIALECTS)
    for entry in entries.values()
    if entry.route.verb is Verb.SUBMIT
}


@pytest.mark.parametrize("protocol", CREATES)
async def test_a_compressed_body_is_refused_by_name_and_a_plain_one_is_read(
    front: Any, protocol: str
) -> None:
    async def sent(encoding: str) -> Any:
        headers = {"content-encoding": encoding}
        body = gzip.compress(b"{}") if encoding == "gzip" else b"{}"
        return await front.client.post(CREATES[protocol], content=body, headers=headers)

    refused, read = await sent("gzip"), await sent("identity")

    assert refused.status_code == 415
    assert "content-encoding 'gzip'" in refused.text.lower()
    assert read.status_code not in (415, 500)


@pytest.mark.parametrize("protocol", CREATES)
async def test_who_sends_too_many_wrong_keys_has_to_wait(new_front: Any, protocol: str) -> None:
    address = CREATES[protocol]
    async with new_front(WebOptions(max_wrong_keys=3)).serving() as front:
        right, other = await front.key("right"), await front.key("other")
        async with front.caller("203.0.113.7") as far, front.caller("203.0.113.8") as elsewhere:
            let_in = await far.post(address, headers=right)
            refused = [await far.post(address, headers=WRONG) for _ in range(4)]
            guessed = await far.post(address, headers=other)
            figures = await far.get("/metrics", headers=other)
            again = await far.post(address, headers=right)
            aside = await elsewhere.post(address, headers=other)

    assert {it.status_code for it in refused[:3]} <= {401, 403}
    for it in (
        refused[3],
        guessed,
        figures,
    ):  # right or wrong: what was not known before is not looked at
        assert it.status_code == 429
        assert 1 <= int(it.headers["retry-after"]) <= 20
        assert "too many wrong keys" in it.text.lower()
    assert again.status_code == aside.status_code == let_in.status_code


async def test_without_keys_any_local_token_will_do(front: Any) -> None:
    headers = {"authorization": "Bearer r8_anything"}

    assert (await front.client.get("/v1/account", headers=headers)).json()["username"] == "local"


@pytest.mark.parametrize(
    ("peer", "base_url", "headers"),
    [
        ("192.168.1.7", "http://127.0.0.1:8787", {}),
        ("127.0.0.1", "http://rebound.example:8787", {}),
        ("127.0.0.1", "http://127.0.0.1.rebound.example", {}),
        ("127.0.0.1", "http://127.0.0.1:8787", {"x_forwarded_for": "127.0.0.1"}),
    ],
    ids=["another machine", "another name", "a name like ours", "through a proxy"],
)
async def test_without_keys_nobody_else_is_let_in(
    front: Any, peer: str, base_url: str, headers: dict[str, str]
) -> None:
    async with front.caller(peer, base_url, **headers) as client:
        answer = await client.post(CREATE, json=PROMPT)

    assert answer.status_code == 401
    assert answer.json()["title"] == "Unauthenticated"


@pytest.mark.parametrize("name", ["http://localhost:8787", "http://[::1]:8787"])
async def test_every_loopback_name_is_local(front: Any, name: str) -> None:
    async with front.caller("::ffff:127.0.0.1", name) as client:
        assert (await client.get("/v1/account")).status_code == 200


async def test_with_a_key_every_address_asks_for_it(front: Any) -> None:
    await front.key()
    without, wrong = {}, {}
    for method, template in ADDRESSES:
        path = re.sub(r"\{.*?\}", "x", template)
        headers = {"authorization": f"Bearer rt_abcdefgh_{'x' * 43}"}
        without[method, path] = await front.client.request(method, path)
        wrong[method, path] = await front.client.request(method, path, headers=headers)

    assert len(without) > 100
    answers = [*without.items(), *wrong.items()]
    assert [at for at, it in answers if it.status_code not in (401, 403)] == []
    words = "You did not pass {} authentication token"
    at = ("GET", "/v1/predictions")
    assert without[at].json()["detail"] == words.format("an")
    assert wrong[at].json()["detail"] == words.format("a valid")


async def asked_everywhere(front: Any, headers: dict[str, str]) -> dict[tuple[str, str], Any]:
    """The answer of every address to a caller, by method and path."""
    return {
        (method, path): await front.client.request(
            method, re.sub(r"\{.*?\}", "x", path), headers=headers
        )
        for method, path in ADDRESSES
    }


async def test_an_expired_key_opens_no_address(front: Any) -> None:
    headers = await front.key("ada", Grant(expires_at=front.clock.now() + 60))
    assert (await front.client.get("/v1/account", headers=headers)).status_code == 200
    front.clock.advance(60)

    answers = await asked_everywhere(front, headers)

    assert [at for at, it in answers.items() if it.status_code not in (401, 403)] == []
    strict = {"x-content-type-options", "content-security-policy", "referrer-policy"}
    assert [at for at, it in answers.items() if not strict <= set(it.headers)] == []
    assert "valid" in answers["GET", "/v1/predictions"].json()["detail"]


async def test_a_key_without_scopes_opens_no_address(front: Any) -> None:
    headers = await front.key("ada", Grant(scopes=frozenset({Scope.OPERATE})))

    answers = await asked_everywhere(front, headers)

    assert [at for at, it in answers.items() if it.status_code != 403] == []


async def test_a_key_that_may_read_changes_nothing(front: Any) -> None:
    headers = await front.key("ada", Grant(scopes=frozenset({Scope.READ})))

    answers = await asked_everywhere(front, headers)

    entries = dict(table(DIALECTS))
    verbs = {at: entries[at[1]][at[0]].route.verb for at in answers}
    let_in = {verbs[at] for at, it in answers.items() if it.status_code != 403}
    refused = {verbs[at] for at, it in answers.items() if it.status_code == 403}
    assert let_in == {
        Verb.STATUS,
        Verb.LIST,
        Verb.FOLLOW,
        Verb.FILE,
        Verb.FILES,
        Verb.DOWNLOAD,
        Verb.DESCRIBE,
    }
    assert {Verb.SUBMIT, Verb.CANCEL, Verb.UPLOAD, Verb.RESERVE, Verb.DELETE_FILE} <= refused
    create = await front.client.post(CREATE, json=PROMPT, headers=headers)
    assert create.json()["detail"] == "This key lacks the scope 'write'."


async def test_a_key_that_may_write_looks_at_nothing(front: Any) -> None:
    headers = await front.key("ada", Grant(scopes=frozenset({Scope.WRITE})))

    assert (await front.client.post(CREATE, json=PROMPT, headers=headers)).status_code == 201
    assert (await front.client.get("/v1/predictions", headers=headers)).status_code == 403


async def test_a_foreign_key_finds_nothing_at_any_address(front: Any) -> None:
    mine, other = await front.key("me"), await front.key("other")
    id = (await front.client.post(CREATE, json=PROMPT, headers=mine)).json()["id"]
    files = {"content": ("a.png", b"abc", "image/png")}
    file = (await front.client.post("/v1/files", files=files, headers=mine)).json()["id"]
    entries = dict(table(DIALECTS))
    seen = {}
    for method, path in ADDRESSES:
        verb = entries[path][method].route.verb
        if verb in (Verb.STATUS, Verb.FOLLOW, Verb.CANCEL, Verb.DELETE):
            query = {"id": id}  # one protocol has it there
            named = path.replace("{id}", id)
        elif verb in (Verb.FILE, Verb.DOWNLOAD, Verb.DELETE_FILE):
            query, named = {}, path.replace("{id}", file)
        else:
            continue
        named = re.sub(r"\{.*?\}", "x", named)
        seen[method, path] = await front.client.request(method, named, params=query, headers=other)

    assert len(seen) > 20
    assert {at: it.status_code for at, it in seen.items() if it.status_code != 404} == {}
    assert (await front.store.get(id)).status == "queued"
    assert await front.store.get_file(file) is not None


@pytest.mark.parametrize(
    "options",
    [
        WebOptions(host="127.0.0.1"),
        WebOptions(host="0.0.0.0", allowed_hosts=("edit.example",)),  # noqa: S104
    ],
)
async def test_a_name_that_is_not_ours_is_refused_even_with_a_key(
    new_front: Any, options: WebOptions
) -> None:
    async with new_front(options).serving() as front:
        headers = await front.key()
        rebound = await asked_everywhere(front, {**headers, "host": "rebound.example:8787"})
        local = await front.client.get("/v1/account", headers=headers)

    assert {it.status_code for it in rebound.values()} == {403}
    assert "allowed_hosts" in rebound["GET", "/v1/account"].json()["detail"]
    assert local.status_code == 200


async def test_the_names_that_are_ours(new_front: Any) -> None:
    options = WebOptions(
        host="::1", public_url="https://edit.example", allowed_hosts=("box.lan", "10.1.2.3")
    )
    names = ["localhost:1", "[::1]:8787", "edit.example", "box.lan:8787", "10.1.2.3", "api.bfl.ai"]
    async with new_front(options).serving() as front:
        headers = await front.key()
        answers = [
            await front.client.get("/v1/get_result?id=x", headers={**headers, "host": name})
            for name in names
        ]

    assert [it.status_code for it in answers] == [404] * len(names)


async def test_a_revoked_key_is_shut_out_within_a_second_and_the_door_stays_closed(
    front: Any,
) -> None:
    headers = await front.key("mine")
    assert (await front.client.get("/v1/account", headers=headers)).status_code == 200

    await front.services.keys.revoke("mine")
    front.clock.advance(1.1)

    assert (await front.client.get("/v1/account", headers=headers)).status_code == 401
    assert (await front.client.get("/v1/account")).status_code == 401


async def test_what_is_anothers_is_not_found(front: Any) -> None:
    mine, other = await front.key("me"), await front.key("other")
    created = (await front.client.post(CREATE, json=PROMPT, headers=mine)).json()
    files = {"content": ("a.png", b"abc", "image/png")}
    file = (await front.client.post("/v1/files", files=files, headers=mine)).json()
    as_input = {"input": {"prompt": "x", "input_image": file["urls"]["get"]}}

    async def asked(method: str, url: str, **more: Any) -> int:
        answer = await front.client.request(method, url, headers=other, **more)
        return int(answer.status_code)

    assert await asked("GET", created["urls"]["get"]) == 404
    assert await asked("POST", created["urls"]["cancel"]) == 404
    assert await asked("GET", file["urls"]["get"]) == 404
    assert await asked("GET", f"{file['urls']['get']}/download") == 404
    assert await asked("DELETE", file["urls"]["get"]) == 404
    assert await asked("POST", CREATE, json=as_input) == 422
    assert (await front.client.get("/v1/predictions", headers=other)).json()["results"] == []
    assert (await front.client.get("/v1/files", headers=other)).json()["results"] == []
    assert (await front.store.get(created["id"])).status == "queued"


async def test_a_body_over_the_limit_is_refused_declared_or_not(new_front: Any) -> None:
    async with new_front(WebOptions(max_body_bytes=1000)).serving() as front:

        async def chunks() -> Any:
            for _ in range(20):
                yield b" " * 100

        declared = await front.client.post(CREATE, content=b" " * 2000)
        counted = await front.client.post(CREATE, content=chunks())

    assert [declared.status_code, counted.status_code] == [413, 413]
    assert declared.json()["detail"] == "The request body is larger than 1000 bytes."


async def test_an_upload_over_the_limit_is_refused(
    front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(DIALECTS[0].files), "limit_bytes", 1024 * 1024)

    slightly = {"content": ("a.png", b"x" * (1024 * 1024 + 1), "image/png")}
    much = {"content": ("a.png", b"x" * (3 * 1024 * 1024), "image/png")}
    answers = [await front.client.post("/v1/files", files=it) for it in (slightly, much)]

    assert [it.status_code for it in answers] == [413, 413]
    assert answers[0].json() == {"detail": "Files must be less than 1MB in size"}
    assert await front.blobs.list("") == []


async def test_a_method_an_address_does_not_take(front: Any) -> None:
    wrong = await front.client.put("/v1/predictions")
    asked = await front.client.options("/v1/predictions")
    head = await front.client.head("/v1/predictions")

    assert wrong.status_code == 405
    assert wrong.json() == {"detail": 'Method "PUT" not allowed.', "status": 405}
    assert wrong.headers["allow"] == asked.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert asked.status_code == 204
    assert head.status_code == 200


@pytest.mark.parametrize("path", ["/nope", "/v1", "/v1/nope/x", "/replicate/v1/trainings/x"])
async def test_an_unknown_address_is_not_found_as_an_object(front: Any, path: str) -> None:
    answer = await front.client.get(path)

    assert answer.status_code == 404
    assert answer.json()["status"] == 404


async def test_the_servers_own_address_tells_what_is_spoken_where(front: Any) -> None:
    answer = await front.client.get("/")

    said = answer.json()
    assert list(said["protocols"]) == [it.name for it in DIALECTS]
    for dialect in DIALECTS:
        told = said["protocols"][dialect.name]
        assert told["base_urls"] == [f"http://127.0.0.1:8787{it}" for it in dialect.mounts]
        assert (await front.client.get(told["openapi"])).json()["info"]["title"] == told["title"]
    for address in (*said["health"].values(), said["figures"]):
        assert (await front.client.get(address)).status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert (await front.client.head("/")).status_code == 200
    assert (await front.client.post("/")).status_code == 405


async def test_the_servers_own_address_tells_everybody_the_same(front: Any) -> None:
    before = await front.client.get("/")
    mine = await front.key("a telling name")

    assert (await front.client.get("/", headers=mine)).content == before.content
    async with front.caller("10.1.2.3") as stranger:
        assert (await stranger.get("/")).content == before.content


async def test_a_vendors_name_tells_of_that_vendor_alone(front: Any) -> None:
    async with front.caller(base_url="http://api.replicate.com") as client:
        assert list((await client.get("/")).json()["protocols"]) == ["replicate"]


async def test_a_null_character_names_nothing(front: Any) -> None:
    for path in ("/v1/predictions/a%00b", "/v1/files/%00", "/v1/models/a/%00"):
        assert (await front.client.get(path)).status_code == 404


async def test_our_own_addresses_refuse_a_method_as_an_object(front: Any) -> None:
    answer = await front.client.post("/livez")

    assert (answer.status_code, answer.json()["status"]) == (405, 405)
    assert (await front.client.delete("/files/a/1/0.png")).json()["status"] == 405


async def test_a_fault_of_ours_says_nothing_of_itself(
    front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("the secret")

    monkeypatch.setattr(front.store, "page", broken)

    answer = await front.client.get("/v1/predictions")

    assert answer.status_code == 500
    assert "secret" not in answer.text


async def test_answers_use_the_configured_origin(new_front: Any) -> None:
    async with new_front(WebOptions(public_url="https://edit.example/")).serving() as front:
        created = (await front.client.post(CREATE, json=PROMPT)).json()

    assert created["urls"]["get"].startswith("https://edit.example/v1/predictions/")


async def test_forwarded_headers_count_only_when_trusted(new_front: Any) -> None:
    forwarded = {"x-forwarded-proto": "https", "x-forwarded-host": "edit.example, inner"}
    origins = []
    for trusted in (False, True):
        options = replace(WebOptions(), trust_forwarded=trusted)
        async with new_front(options).serving() as front:
            answer = await front.client.post(CREATE, json=PROMPT, headers=forwarded)
            origins.append(answer.json()["urls"]["get"].partition("/v1")[0])

    assert origins == ["http://127.0.0.1:8787", "https://edit.example"]


async def test_a_hostile_host_is_never_written_into_an_answer(front: Any) -> None:
    headers = await front.key() | {"host": 'evil"><script>'}

    created = (await front.client.post(CREATE, json=PROMPT, headers=headers)).json()

    assert "script" not in created["urls"]["get"]


async def test_health(new_front: Any) -> None:
    async def no_worker() -> str | None:
        return "no worker is ready"

    async with new_front().serving(ready=no_worker) as front:
        alive = await front.client.get("/livez")
        ready = await front.client.get("/readyz")

    assert alive.status_code == 200
    assert (ready.status_code, ready.json()["detail"]) == (503, "no worker is ready")


async def test_a_start_that_is_over_stays_over(new_front: Any) -> None:
    found = iter(["no worker is ready", None, "the database is away"])

    async def ready() -> str | None:
        return next(found)

    async with new_front().serving(ready=ready) as front:
        early, once, later = [await front.client.get("/startupz") for _ in range(3)]
        now = await front.client.get("/readyz")

    assert (early.status_code, early.json()["detail"]) == (503, "no worker is ready")
    assert (once.status_code, once.json()) == (200, {"status": "started"})
    assert later.status_code == 200
    assert now.status_code == 503


@pytest.mark.parametrize("path", ["/livez", "/startupz", "/readyz"])
async def test_health_is_told_under_any_name(new_front: Any, path: str) -> None:
    """Probes and balancers call by an address of the moment."""
    options = WebOptions(host="127.0.0.1")
    async with (
        new_front(options=options).serving() as front,
        front.caller("10.1.2.3", "http://10.1.2.4:8787") as probe,
    ):
        assert (await probe.get(path)).status_code == 200
        assert (await probe.get("/v1/account")).status_code == 403


async def test_every_answer_has_an_id_and_safe_headers(front: Any) -> None:
    named = await front.client.get("/v1/account", headers={"x-request-id": "mine-1"})
    drawn = await front.client.get("/nope", headers={"x-request-id": "<bad>"})

    assert named.headers["x-request-id"] == "mine-1"
    assert drawn.headers["x-request-id"] == "request"
    assert drawn.headers["x-content-type-options"] == "nosniff"
