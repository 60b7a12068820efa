"""Wrong keys, counted by the address they came from, so that trying keys is slow.

Each process counts for itself, in bounded memory: the addresses longest without a wrong key are
forgotten first.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address, ip_network

import structlog

from retouch.domain.errors import Throttled
from retouch.web.names import is_loopback

log = structlog.get_logger(__name__)

ADDRESSES = 10_000
"""How many addresses are remembered."""

TINY_S = 1e-6  # sums of shares are not exact


class Guesses:
    """Lets an address try `per_minute` wrong keys at once, then one as each share of it passes."""

    def __init__(
        self,
        per_minute: int = 0,
        *,
        trust_forwarded: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """0 a minute counts nothing. `trust_forwarded` believes a proxy on another machine."""
        self._trust_forwarded, self._now = trust_forwarded, now
        self._every_s = 60 / per_minute if per_minute else 0.0
        self._spent_until: OrderedDict[str, float] = OrderedDict()

    def require_patience(self, headers: Mapping[str, str], peer: str | None) -> None:
        """Raise Throttled while this caller's address may not try another key."""
        if not self._spent_until:
            return
        wait_s = self._wait_s(self._address(headers, peer))
        if wait_s > 0:
            raise Throttled.guessing(wait_s)

    def count(self, headers: Mapping[str, str], peer: str | None) -> None:
        """This caller has sent a wrong key."""
        address = self._address(headers, peer)
        if not address or not self._every_s:
            return
        until = max(self._spent_until.pop(address, 0.0), self._now())
        self._spent_until[address] = until + self._every_s
        while len(self._spent_until) > ADDRESSES:
            self._spent_until.popitem(last=False)
        if self._wait_s(address) > 0:
            log.warning("keys.guessed", address=address)

    def _wait_s(self, address: str) -> float:
        until = self._spent_until.get(address)
        if until is None:
            return 0.0
        wait_s = until - self._now() - (60.0 - self._every_s)
        return wait_s if wait_s > TINY_S else 0.0

    def _address(self, headers: Mapping[str, str], peer: str | None) -> str:
        """Whom to count for; nobody where that is this machine itself.

        A proxy on this machine is believed: were it not, all its callers would be one.
        """
        near = peer or "localhost"
        if self._trust_forwarded or is_loopback(near):
            near = headers.get("x-forwarded-for", "").rpartition(",")[2].strip() or near
        return "" if is_loopback(near) else _network_of(near)


def _network_of(address: str) -> str:
    """An address as it is counted: of IPv6 the part that one caller is given whole."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped or ip_network((int(found), 64), strict=False))
    return str(found)
