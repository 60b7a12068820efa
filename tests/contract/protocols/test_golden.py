"""Golden pairs: for every protocol, what it reads and what it says, kept as JSON beside this file.

A folder is a dialect. `parse.json` holds calls and the submission each means, `refusals.json`
calls and the error answer each gets, `renders.json` predictions and the answer each verb gives,
`errors.json` our errors and the answer each becomes. A pair is added by writing it down.
"""

import base64
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from retouch.domain import errors
from retouch.domain.edit import (
    AspectRatio,
    BlobImage,
    Edit,
    FileImage,
    InlineImage,
    Lora,
    MaskImage,
    OutputFormat,
    Size,
    UrlImage,
)
from retouch.domain.errors import RetouchError, Violation
from retouch.domain.failure import Failure, FailureKind
from retouch.domain.prediction import Output, Prediction, Progress, Status, Webhook
from retouch.net.sealing import WebhookSigner
from retouch.ports import Cursor, File
from retouch.protocols import DIALECTS
from retouch.protocols.base import Answer, Call, Notice, Part, View
from retouch.protocols.dialect import Dialect

HERE = Path(__file__).parent
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}

PREDICTION = Prediction(
    id="0123456789abcdefghjkmnpqrs",
    owner="owner",
    protocol="",
    model="owner/name",
    input={"prompt": "make it blue"},
    edit=Edit(prompt="make it blue", seed=4711),
    created_at=1_767_323_045.678,
)
FILE = File(
    id="zyxwvtsrqpnmkjhgfedcba9876",
    owner="owner",
    name="cat.png",
    content_type="image/png",
    size_bytes=48211,
    sha256="5" * 64,
    md5="3" * 32,
    key="uploads/zyxwvtsrqpnmkjhgfedcba9876",
    created_at=1_767_323_045.678,
    expires_at=1_767_409_445.678,
)

NOTICE = Notice(
    id="0123456789abcdefghjkmnpqrs-succeeded",
    at=1_767_323_050.9,
    signer=WebhookSigner(b"a secret of some length"),
    secret="the caller's own",  # noqa: S106
)


def pairs(kind: str) -> list[Any]:
    return [
        pytest.param(BY_NAME[path.parent.name], pair, id=f"{path.parent.name}: {pair['it']}")
        for path in sorted(HERE.glob(f"*/{kind}.json"))
        for pair in json.loads(path.read_text())
    ]


@pytest.mark.parametrize(("dialect", "pair"), pairs("parse"))
def test_a_call_means_its_submission(dialect: Dialect, pair: dict[str, Any]) -> None:
    submission = dialect.parse(call_of(pair["call"]))

    said = {
        "model": submission.model,
        "input": plain(submission.input),
        "edit": plain_edit(submission.edit),
        "wait_s": submission.wait_s,
        "is_retry": submission.is_retry,
        "webhook": submission.webhook and plain_webhook(submission.webhook),
        "cancel_after_s": submission.cancel_after_s,
        "start_within_s": submission.start_within_s,
        "priority": submission.priority,
        "max_queued": submission.max_queued,
    }
    assert {name: said[name] for name in pair["means"]} == pair["means"]
    if "input" in pair["means"]:
        assert list(said["input"]) == list(pair["means"]["input"])


@pytest.mark.parametrize(("dialect", "pair"), pairs("refusals"))
def test_a_call_is_refused_in_the_protocols_words(dialect: Dialect, pair: dict[str, Any]) -> None:
    call = call_of(pair["call"])

    with pytest.raises(RetouchError) as refused:
        dialect.parse(call)

    assert answer_of(dialect.refuse(call, refused.value), pair["answer"]) == pair["answer"]


@pytest.mark.parametrize(("dialect", "pair"), pairs("renders"))
def test_a_verb_renders_its_answer(dialect: Dialect, pair: dict[str, Any]) -> None:
    call = call_of(pair.get("call", {}))
    view = view_of(pair.get("prediction", {}), dialect)

    answer = rendered(dialect, pair, call, view)

    assert answer_of(answer, pair["answer"]) == pair["answer"]
    assert json.dumps(answer.body) == json.dumps(pair["answer"]["body"]), "the order differs"


@pytest.mark.parametrize(("dialect", "pair"), pairs("errors"))
def test_an_error_becomes_its_answer(dialect: Dialect, pair: dict[str, Any]) -> None:
    call = call_of(pair.get("call", {}))
    error = error_of(**pair["error"])

    answer = dialect.refuse(call, error)

    assert answer_of(answer, pair["answer"]) == pair["answer"]


# -- reading the files ---------------------------------------------------------------------------


def call_of(given: dict[str, Any]) -> Call:
    body = given.get("body", "")
    return Call(
        method=given.get("method", "POST"),
        path=given.get("path", "/"),
        params=given.get("params", {}),
        query=given.get("query", {}),
        query_text=given.get("query_text", ""),
        headers=given.get("headers", {}),
        body=body.encode() if isinstance(body, str) else json.dumps(body).encode(),
        parts=tuple(part_of(part) for part in given.get("parts", ())),
        origin=given.get("origin", "https://edit.example"),
        mount=given.get("mount", "/v1"),
    )


def part_of(given: dict[str, Any]) -> Part:
    if "text" in given:
        return Part(name=given["name"], data=given["text"].encode())
    data = base64.b64decode(given["base64"])
    return Part(name=given["name"], data=data, filename=given["filename"])


def view_of(given: dict[str, Any], dialect: Dialect) -> View:
    given = dict(given)
    edit = replace(PREDICTION.edit, **given.pop("edit", {}))
    urls = tuple(given.pop("urls", ()))
    position = given.pop("position", None)
    if "status" in given:
        given["status"] = Status(given["status"])
    if "failure" in given:
        failure = given["failure"]
        given["failure"] = Failure(**{**failure, "kind": FailureKind(failure["kind"])})
    if "progress" in given:
        given["progress"] = Progress(*given["progress"])
    if urls:
        judged = given.pop("judged", False)
        given["outputs"] = tuple(Output(url, "image/png", 64, 64, 9, judged) for url in urls)
    prediction = replace(PREDICTION, **{"protocol": dialect.name, "edit": edit, **given})
    ticket = "abcdefghijklmnopqrstuvwxyz" * 2
    return View(
        prediction=prediction,
        input=prediction.input,
        outputs=urls,
        ticket=ticket,
        position=position,
    )


def rendered(dialect: Dialect, pair: dict[str, Any], call: Call, view: View) -> Answer:
    after = Cursor(*pair["after"]) if "after" in pair else None
    match pair["verb"]:
        case "submit":
            return dialect.submitted(call, dialect.parse(call), view)
        case "status":
            return dialect.status(call, view)
        case "cancel":
            return dialect.canceled(call, view, won=pair.get("won", True))
        case "delete":
            return dialect.erased(call, view)
        case "notification":
            sent = dialect.notification(call, view, NOTICE)
            return Answer(status=0, body=json.loads(sent.body), headers=sent.headers)
        case "list":
            return dialect.page(call, [view], after)
        case "stream":
            events = [[it.event, it.id, it.data] for it in dialect.streams.finale(call, view)]
            return Answer(status=200, body=events)
        case "upload":
            return dialect.files.uploaded(call, FILE, "https://edit.example/files/x")
        case "file":
            return dialect.files.file(call, FILE)
        case "files":
            return dialect.files.page(call, [FILE], after)
        case verb:
            raise ValueError(verb)


def error_of(name: str, *, violations: Any = None, **arguments: Any) -> RetouchError:
    kind = getattr(errors, name)
    if violations is not None:
        return kind(tuple(Violation(*violation) for violation in violations))
    return kind(*arguments.pop("args", ()), **arguments)


def answer_of(answer: Answer, wanted: dict[str, Any]) -> dict[str, Any]:
    """The answer, with only those headers the pair names."""
    said: dict[str, Any] = {"status": answer.status, "body": answer.body}
    if "headers" in wanted:
        said["headers"] = {name: answer.headers.get(name) for name in wanted["headers"]}
    return said


def plain(value: Any) -> Any:
    match value:
        case InlineImage(data):
            return {"inline": base64.b64encode(data).decode()}
        case UrlImage(url):
            return {"url": url}
        case FileImage(file_id):
            return {"file": file_id}
        case BlobImage(key):
            return {"blob": key}
        case AspectRatio(width, height):
            return f"{width}:{height}"
        case Size(width, height):
            return f"{width}x{height}"
        case MaskImage():
            return {it.name: plain(getattr(value, it.name)) for it in fields(MaskImage)}
        case Lora(name, scale):
            return {"name": name, "scale": scale}
        case OutputFormat():
            return value.value
        case dict():
            return {name: plain(item) for name, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return value


def plain_webhook(webhook: Webhook) -> dict[str, Any]:
    told = {"url": webhook.url, "tells": sorted(webhook.tells)}
    return {**told, "secret": webhook.secret} if webhook.secret else told


def plain_edit(edit: Edit) -> dict[str, Any]:
    """The fields that differ from an edit with nothing but a prompt."""
    bare = Edit(prompt="")
    names = [field.name for field in fields(Edit)]
    return {n: plain(getattr(edit, n)) for n in names if getattr(edit, n) != getattr(bare, n)}
