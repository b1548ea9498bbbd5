"""Tests of the judgement on addresses: every wrapping of a private address is as forbidden as the address."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.tools.addresses import forbidden

GLOBAL_UNICAST = IPv6Network("2000::/3")
PRIVATE = ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "64:ff9b:1:a00:0:100::",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        "2001:2::1",
        "2001:db8::1",
        "2002:a00:1::",
        "2002:7f00:1::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1%eth0",
        "fec0::1",
        "ff02::1",
        "2606:4700::5efe:10.0.0.1",
        "2606:4700::200:5efe:10.0.0.1",
    ],
)
def test_an_address_that_is_not_public_is_forbidden_with_a_reason(address: str) -> None:
    assert forbidden(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001::1", "64:ff9b::8.8.8.8"],
)
def test_a_public_address_is_not_forbidden(address: str) -> None:
    assert forbidden(ip_address(address)) is None


def private_addresses() -> st.SearchStrategy[int]:
    return st.one_of([st.ip_addresses(v=4, network=network) for network in PRIVATE]).map(int)


@given(private_addresses(), st.integers(0, 2**64 - 1))
def test_a_private_address_is_forbidden_in_every_wrapping(inner: int, noise: int) -> None:
    high, low = inner >> 16, inner & 0xFFFF
    wrapped: dict[str, IPv4Address | IPv6Address] = {
        "bare": IPv4Address(inner),
        "compatible": IPv6Address(inner),
        "mapped": IPv6Address(0xFFFF << 32 | inner),
        "translated": IPv6Address(0xFFFF << 48 | inner),
        "NAT64": IPv6Address(0x64_FF9B << 96 | inner),
        "local NAT64": IPv6Address(0x64_FF9B_0001 << 80 | high << 64 | low << 40 | noise & 0xFF),
        "6to4": IPv6Address(0x2002 << 112 | inner << 80 | noise),
        "Teredo": IPv6Address(0x2001 << 112 | (noise & 0xFFFF_FFFF) << 64 | inner ^ 0xFFFF_FFFF),
        "Teredo server": IPv6Address(0x2001 << 112 | inner << 64 | noise),
        "ISATAP": IPv6Address(0x2A00_1450 << 96 | 0x5EFE << 32 | inner),
    }
    passed = [how for how, address in wrapped.items() if forbidden(address) is None]
    assert not passed


@given(st.ip_addresses(v=6))
def test_only_global_unicast_and_wrapped_public_ipv4_pass(address: IPv6Address) -> None:
    if forbidden(address) is None:
        assert address in GLOBAL_UNICAST or forbidden(IPv4Address(int(address) & 0xFFFF_FFFF)) is None
