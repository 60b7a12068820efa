"""Guarded downloads of the pictures callers point at: bounded in size, time and redirects."""

import asyncio
import ssl
import zlib
from dataclasses import dataclass

import httpx2

from retouch import __version__
from retouch.domain.errors import BadInput
from retouch.domain.failure import FailureKind
from retouch.domain.network import Network
from retouch.net.guard import GuardedTransport, NotPublic, Refused, Resolver

_HEADERS = {
    "Accept": "image/*, */*;q=0.5",
    "Accept-Encoding": "identity",
    "User-Agent": f"retouch/{__version__}",
}
_SHOWN = 120
"""Characters of a URL that a message repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPolicy:
    """How much a download may take, and which private networks it may reach."""

    max_bytes: int = 25_000_000
    timeout_s: float = 10.0  # for all of it: names, redirects, body
    max_redirects: int = 3
    allow: tuple[Network, ...] = ()


DEFAULT_POLICY = FetchPolicy()


class GuardedFetcher:
    """The `Fetcher` port. Keeps no connection, no cookie and no body of an error page."""

    def __init__(
        self,
        policy: FetchPolicy = DEFAULT_POLICY,
        *,
        resolve: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._transport = GuardedTransport(policy.allow, resolve=resolve, ssl_context=ssl_context)

    async def fetch(self, url: str, what: str = "image") -> bytes:
        """The body of an http(s) URL; raises BadInput, whose sentence calls it `what` it is."""
        try:
            async with asyncio.timeout(self._policy.timeout_s):
                return await self._follow(httpx2.URL(url))
        except NotPublic as error:
            raise _unfetched(f"The {what} URL's host is not reachable from here: {error}") from None
        except TimeoutError:
            reason = f"it took longer than {self._policy.timeout_s:g} s"
        except (Refused, _Unfit) as error:
            reason = str(error)
        except (httpx2.InvalidURL, UnicodeError):
            reason = "it is not a valid URL"
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            reason = why_unconnected(error)
        except httpx2.TransportError:
            reason = "the server broke off or did not speak HTTP"
        raise _unfetched(f"The {what} URL {shown_url(url)}could not be fetched: {reason}") from None

    async def _follow(self, url: httpx2.URL) -> bytes:
        for _ in range(self._policy.max_redirects + 1):
            response = await self._transport.handle_async_request(
                httpx2.Request("GET", url, headers=_HEADERS)
            )
            try:
                if not response.has_redirect_location:
                    return await self._body(response)
                url = url.join(response.headers["location"])
            finally:
                await response.aclose()
        raise _Unfit(f"it redirects more than {self._policy.max_redirects} times")

    async def _body(self, response: httpx2.Response) -> bytes:
        if not response.is_success:
            raise _Unfit(f"the server answered {response.status_code}")
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._policy.max_bytes:
            raise self._too_large()
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._policy.max_bytes:
                raise self._too_large()
        return self._unpacked(bytes(body), response.headers.get("content-encoding", "identity"))

    def _unpacked(self, body: bytes, encoding: str) -> bytes:
        """The body as it was before a server compressed it unasked, up to the limit."""
        if encoding.strip().lower() in ("", "identity"):
            return body
        if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
            raise _Unfit("the server sent it in an encoding that was not asked for")
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its header
        try:
            unpacked = inflater.decompress(body, self._policy.max_bytes + 1)
        except zlib.error:
            raise _Unfit("the server sent it compressed and damaged") from None
        if len(unpacked) > self._policy.max_bytes:
            raise self._too_large()
        if not inflater.eof:
            raise _Unfit("the server sent it compressed and cut short")
        return unpacked

    def _too_large(self) -> "_Unfit":
        return _Unfit(f"it is larger than {self._policy.max_bytes / 1e6:g} MB")


class _Unfit(Exception):
    """The answer is not one we take; the message is the reason."""


def _unfetched(words: str) -> BadInput:
    return BadInput(FailureKind.UNFETCHED, f"{words}.")


def shown_url(url: str) -> str:
    """A URL for a message, with a space after it: no credentials, no query, not too long.

    Empty when it is no URL at all.
    """
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, UnicodeError):
        return ""
    if parsed.scheme not in ("http", "https") or not parsed.host:
        return ""
    bare = str(parsed.copy_with(userinfo=b"", query=None, fragment=None))
    return (bare if len(bare) <= _SHOWN else f"{bare[:_SHOWN]}…") + " "


def why_unconnected(error: BaseException | None) -> str:
    """One sentence for refused, unanswered and unreachable: the caller learns no port's state."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return "its server's certificate is not trusted"
        error = error.__cause__ or error.__context__
    return "no connection to its server could be made"
