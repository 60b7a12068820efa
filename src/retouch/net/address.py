"""Decides which addresses are public. Every outgoing request is checked by it. Pure.

`ipaddress.is_global` alone is not enough: by it, 64:ff9b::/96 (NAT64), 2002::/16 (6to4) and
fec0::/10 are global in some Python versions, whatever IPv4 address they carry inside.
"""

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

from retouch.domain.network import Network

Address = IPv4Address | IPv6Address

_NOT_PUBLIC = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("168.63.129.16/32"),  # Azure's own to its machines, from a public range
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("198.18.0.0/15"),
    IPv6Network("2001::/23"),  # Teredo, ORCHID and other protocols' own
    IPv6Network("2001:db8::/32"),
    IPv6Network("3fff::/20"),
)
_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_public(address: Address) -> bool:
    """Whether an address, and every IPv4 address it carries inside, is on the open internet."""
    if isinstance(address, IPv6Address):
        if (bare := address.ipv4_mapped) is not None:
            return is_public(bare)
        if address in _NAT64:
            return is_public(_low(address))
        if address not in _UNICAST:
            return False
        if address.sixtofour is not None and not is_public(address.sixtofour):
            return False
        if int(address) >> 32 & 0xFFFFFFFF in _ISATAP and not is_public(_low(address)):
            return False
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved)
        and not any(address in network for network in _NOT_PUBLIC)
    )


def is_allowed(address: Address, allow: tuple[Network, ...]) -> bool:
    """Whether an address is public, or in one of the operator's networks."""
    bare = (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
    return any(bare in network for network in allow) or is_public(address)


def parse_address(host: str) -> Address | None:
    """The address a host is written as, or None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _low(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)
