"""Prompt upsampling by an OpenAI-compatible chat endpoint of the operator's own choice.

It may live on a private network, since the operator named it. The environment's proxies play no
part, redirects are not followed, and an answer is bounded in time and size.
"""

import asyncio
import json
from typing import Any

import httpx2

from retouch import __version__
from retouch.ports import NotUpsampled

INSTRUCTION = (
    "You elaborate instructions for an image editing model. Rewrite the user's instruction as one "
    "precise paragraph of at most 100 words: say what changes, how it should look, and what must "
    "stay as it is. Invent no change the user did not ask for. Keep quoted text and names as they "
    "are. Answer with the rewritten instruction alone, in the language of the original."
)
MAX_ANSWER_BYTES = 100_000
MAX_LETTERS = 4_000


class ChatUpsampler:
    """The `Upsampler` port over `POST {url}/chat/completions`."""

    def __init__(
        self,
        url: str,
        *,
        model: str = "",
        key: str = "",
        timeout_s: float = 20.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """`url` ends before `/chat/completions`; `timeout_s` bounds a whole call."""
        self.name = model or "its default model"
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._model, self._key, self._timeout_s = model, key, timeout_s
        self._transport = transport

    async def upsample(self, prompt: str, pictures: int) -> str:
        """The prompt at greater length; raises NotUpsampled with the reason."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return _read(await self._ask(prompt, pictures))
        except TimeoutError:
            raise NotUpsampled(f"the endpoint took longer than {self._timeout_s:g} s") from None
        except httpx2.HTTPError:
            raise NotUpsampled("the endpoint could not be reached") from None
        except (httpx2.InvalidURL, UnicodeError):
            raise NotUpsampled("its address is not a valid URL") from None

    async def _ask(self, prompt: str, pictures: int) -> bytes:
        headers = {"User-Agent": f"retouch/{__version__}"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        body: dict[str, Any] = {
            "messages": [
                {"role": "system", "content": f"{INSTRUCTION} {_about(pictures)}"},
                {"role": "user", "content": prompt},
            ]
        }
        if self._model:
            body["model"] = self._model
        transport = self._transport or httpx2.AsyncHTTPTransport(trust_env=False)
        async with (
            httpx2.AsyncClient(transport=transport, timeout=None, trust_env=False) as client,
            client.stream("POST", self._url, json=body, headers=headers) as answer,
        ):
            if answer.status_code != httpx2.codes.OK:
                raise NotUpsampled(f"the endpoint answered {answer.status_code}")
            data = b""
            async for chunk in answer.aiter_bytes():
                data += chunk
                if len(data) > MAX_ANSWER_BYTES:
                    raise NotUpsampled("the endpoint's answer is too long")
            return data


def _about(pictures: int) -> str:
    match pictures:
        case 0:
            return "There is no input picture: the model makes one from the instruction alone."
        case 1:
            return "There is one input picture, which you cannot see."
        case _:
            return f"There are {pictures} input pictures, which you cannot see."


def _read(data: bytes) -> str:
    """The answer's text on one line."""
    try:
        text = json.loads(data)["choices"][0]["message"]["content"]
        line = " ".join(text.split())
    except (ValueError, LookupError, TypeError, AttributeError):
        raise NotUpsampled("the endpoint's answer is no chat completion") from None
    if not line:
        raise NotUpsampled("the endpoint answered nothing")
    if len(line) > MAX_LETTERS:
        raise NotUpsampled(f"the endpoint answered with more than {MAX_LETTERS} letters")
    return line
