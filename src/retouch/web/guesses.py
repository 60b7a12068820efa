"""Wrong keys, counted by the address they came from, so that trying keys is slow.

Each process counts for itself, in bounded memory: the addresses longest without a wrong key are
forgotten first.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import structlog

from retouch.domain.errors import Throttled
from retouch.web.names import host_name

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
        near = _parsed(peer or "")
        if near is None:
            return ""
        if self._trust_forwarded or near.is_loopback:
            near = _parsed(headers.get("x-forwarded-for", "").rpartition(",")[2].strip()) or near
        return "" if near.is_loopback else _counted(near)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address, with or without a port, as proxies write it; None for anything else."""
    has_port = text.startswith("[") or text.count(":") == 1
    try:
        found = ip_address(host_name(text) if has_port else text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _counted(address: IPv4Address | IPv6Address) -> str:
    """As what it is counted: of IPv6 the network that one caller is given whole."""
    if address.version == 4:
        return str(address)
    return str(ip_network((int(address), 64), strict=False))
