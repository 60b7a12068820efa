"""Networks, as an operator names them."""

from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network
