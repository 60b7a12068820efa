"""Guarded POSTs to the addresses callers name: public hosts only, no redirects, bounded in time.

Nothing of an answer is read but its head, so a receiver cannot feed us anything.
"""

import asyncio
import ssl
from collections.abc import Mapping

import httpx2

from retouch import __version__
from retouch.domain.network import Network
from retouch.net.fetch import why_unconnected
from retouch.net.guard import GuardedTransport, NotPublic, Refused, Resolver
from retouch.ports import Receipt, Undelivered

_HEADERS = {"User-Agent": f"retouch/{__version__}", "Content-Type": "application/json"}
_NOT_PUBLIC = (
    "its host is on a private network; the setting allow_webhook lists those that may be reached"
)


class GuardedCourier:
    """The `Courier` port. `allow` lists private networks that may be reached."""

    def __init__(
        self,
        allow: tuple[Network, ...] = (),
        *,
        timeout_s: float = 30.0,
        resolve: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """`timeout_s` bounds all of it: the name, the connection and the answer's head."""
        self._timeout_s = timeout_s
        self._transport = GuardedTransport(allow, resolve=resolve, ssl_context=ssl_context)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Receipt:
        """Send it and read the status; follows nothing. Raises Undelivered saying why not."""
        try:
            request = httpx2.Request("POST", url, content=body, headers={**_HEADERS, **headers})
            async with asyncio.timeout(self._timeout_s):
                response = await self._transport.handle_async_request(request)
                await response.aclose()
        except NotPublic:
            raise Undelivered(_NOT_PUBLIC) from None
        except Refused as error:
            raise Undelivered(str(error)) from None
        except TimeoutError:
            raise Undelivered(f"it took longer than {self._timeout_s:g} s to answer") from None
        except (httpx2.InvalidURL, UnicodeError):
            raise Undelivered("its address is not a valid URL") from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise Undelivered(why_unconnected(error)) from None
        except httpx2.TransportError:
            raise Undelivered("the server broke off or did not speak HTTP") from None
        return Receipt(response.status_code, _seconds(response.headers.get("retry-after", "")))


def _seconds(retry_after: str) -> float | None:
    """A `Retry-After` in seconds; the form with a date is not worth a parser."""
    text = retry_after.strip()
    return float(text) if text.isdecimal() and len(text) < 10 else None
