"""Which addresses are public."""

from ipaddress import ip_address, ip_network

import pytest

from retouch.net.address import is_allowed, is_public

PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 100.127.255.254 127.0.0.1 127.255.255.254
168.63.129.16 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170
192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
239.255.255.250 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1
::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 64:ff9b::127.0.0.1
64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 64:ff9b:1::8.8.8.8 100::1 2001::1
2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:10::1 2001:db8::1 2002:7f00:1:: 2002:a00:1::1
2002:a9fe:a9fe:: 2002:c0a8:101::1 3fff::1 4000::1 5f00::1 2606:4700::5efe:7f00:1
2606:4700::200:5efe:a00:1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%1 fec0::1 ff02::1 ff0e::1 ffff::1
""".split()  # noqa: SIM905  a table reads better

PUBLIC = """
1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.32.0.1 192.0.1.1 198.20.0.1 223.255.255.254
2606:4700:4700::1111 2a00:1450:4001::200e 2001:4860:4860::8888 64:ff9b::8.8.8.8 ::ffff:8.8.8.8
2002:808:808::1 2606:4700::5efe:808:808
""".split()  # noqa: SIM905  a table reads better


@pytest.mark.parametrize("address", PRIVATE)
def test_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_the_operators_networks_are_let_in_and_nothing_beside_them() -> None:
    allow = (ip_network("10.1.0.0/16"), ip_network("fd00::/64"))

    assert is_allowed(ip_address("10.1.2.3"), allow)
    assert is_allowed(ip_address("::ffff:10.1.2.3"), allow)
    assert is_allowed(ip_address("fd00::7"), allow)
    assert is_allowed(ip_address("8.8.8.8"), allow)
    assert not is_allowed(ip_address("10.2.0.1"), allow)
    assert not is_allowed(ip_address("64:ff9b::10.1.2.3"), allow)
