"""Elaborating prompts: what is asked, what is taken, and a reason for every way it can fail."""

import asyncio
import json

import httpx2
import pytest

from retouch.net.chat import MAX_ANSWER_BYTES, MAX_LETTERS, ChatUpsampler
from retouch.ports import NotUpsampled


def saying(text: object) -> httpx2.Response:
    return httpx2.Response(200, json={"choices": [{"message": {"content": text}}]})


def upsampler(answer: object, seen: list[httpx2.Request] | None = None, **options: object):
    def handle(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    transport = httpx2.MockTransport(handle)
    return ChatUpsampler("http://llm.example:1234/v1/", transport=transport, **options)


async def test_a_prompt_is_elaborated_by_the_model_under_the_key() -> None:
    seen: list[httpx2.Request] = []
    it = upsampler(saying("  A blue\n  cat. "), seen, model="small", key="hunter2")

    longer = await it.upsample("blue", 2)

    (request,) = seen
    said = json.loads(request.content)
    assert longer == "A blue cat."
    assert (str(request.url), request.method) == (
        "http://llm.example:1234/v1/chat/completions",
        "POST",
    )
    assert request.headers["authorization"] == "Bearer hunter2"
    assert said["model"] == "small"
    assert said["messages"][-1] == {"role": "user", "content": "blue"}
    assert "2 input pictures" in said["messages"][0]["content"]
    assert it.name == "small"


async def test_without_a_model_and_a_key_none_is_named() -> None:
    seen: list[httpx2.Request] = []

    await upsampler(saying("x"), seen).upsample("blue", 0)

    assert "authorization" not in seen[0].headers
    assert "model" not in json.loads(seen[0].content)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx2.Response(500), "the endpoint answered 500"),
        (httpx2.Response(302, headers={"location": "/x"}), "the endpoint answered 302"),
        (httpx2.Response(200, text="<html>"), "no chat completion"),
        (httpx2.Response(200, json={"choices": []}), "no chat completion"),
        (httpx2.Response(200, json=[]), "no chat completion"),
        (saying(None), "no chat completion"),
        (saying(" "), "answered nothing"),
        (saying("x" * (MAX_LETTERS + 1)), f"more than {MAX_LETTERS} letters"),
        (saying("x" * MAX_ANSWER_BYTES), "too long"),
        (httpx2.ConnectError("refused: http://llm.example"), "could not be reached"),
    ],
)
async def test_each_failure_has_a_reason_without_the_address(answer: object, reason: str) -> None:
    with pytest.raises(NotUpsampled, match=reason) as caught:
        await upsampler(answer, key="hunter2").upsample("blue", 1)

    assert "hunter2" not in str(caught.value)
    assert "llm.example" not in str(caught.value)


async def test_an_endpoint_that_never_answers_is_given_up() -> None:
    class Silent(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await asyncio.Event().wait()
            raise AssertionError

    it = ChatUpsampler("http://llm.example/v1", timeout_s=0.01, transport=Silent())

    with pytest.raises(NotUpsampled, match=r"longer than 0\.01 s"):
        await it.upsample("blue", 1)
