"""Which addresses an original may be fetched from."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.requests.addresses import is_public

PUBLIC_4 = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "172.15.255.255",
    "172.32.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "223.255.255.255",
    "11.0.0.0",
]
PUBLIC_6 = [
    "2606:4700:4700::1111",
    "2a00:1450:4001:801::200e",
    "2001:4860:4860::8888",
    "2001:200::",
    "2003::1",
    "3ffe::1",
]

NOT_PUBLIC_4 = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.1.2.3",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
]
NOT_PUBLIC_6 = [
    "::",
    "::1",
    "100::1",
    "64:ff9b:1::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "4000::1",
]

NAT64 = IPv6Network("64:ff9b::/96")
GLOBAL_AND_REFUSED = [
    IPv4Network(text)
    for text in ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4")
]


def forms(address: IPv4Address) -> list[str]:
    """IPv6 addresses that mean an IPv4 one to some system."""
    low, high = int(address) & 0xFFFF, int(address) >> 16
    return [
        f"::ffff:{address}",  # mapped
        f"::ffff:{high:x}:{low:x}",
        f"::{address}",  # compatible
        f"::ffff:0:{address}",  # translated
        f"2002:{high:x}:{low:x}::1",  # 6to4
        f"2001:0:{high:x}:{low:x}::1",  # Teredo's server
        f"2001:0:4136:e378:8000:63bf:{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",  # Teredo's client
        f"64:ff9b:1::{address}",  # NAT64 for local use
    ]


class AddressesTests:
    """Public or not."""

    @pytest.mark.parametrize("address", PUBLIC_4 + PUBLIC_6)
    def test_addresses_of_the_internet_are_public(self, address: str) -> None:
        assert is_public(address)

    @pytest.mark.parametrize("address", NOT_PUBLIC_4 + NOT_PUBLIC_6)
    def test_addresses_of_anything_else_are_not(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize("address", [*PUBLIC_4, *NOT_PUBLIC_4])
    def test_ipv6_addresses_that_embed_another_are_never_public(self, address: str) -> None:
        assert not any(is_public(form) for form in forms(IPv4Address(address)))

    @pytest.mark.parametrize("address", [*PUBLIC_4, *NOT_PUBLIC_4])
    def test_nat64_is_as_public_as_the_address_behind_it(self, address: str) -> None:
        assert is_public(f"64:ff9b::{address}") == is_public(address)

    @pytest.mark.parametrize(
        "address", ["fe80::1%eth0", "fe80::1%1", "2606:4700:4700::1111%eth0", "::1%lo"]
    )
    def test_an_address_with_a_scope_is_not_public(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "example.org",
            "127.1",
            "0x7f000001",
            "2130706433",
            "010.0.0.1",
            "8.8.8",
            "8.8.8.8:80",
            "[::1]",
            " 8.8.8.8",
            "::g",
        ],
    )
    def test_an_invalid_address_is_not_public(self, text: str) -> None:
        assert not is_public(text)

    @given(st.ip_addresses())
    def test_nothing_is_public_that_python_knows_to_be_special(
        self, address: IPv4Address | IPv6Address
    ) -> None:
        special = (
            address.is_private,
            address.is_loopback,
            address.is_link_local,
            address.is_multicast,
            address.is_reserved,
            address.is_unspecified,
        )
        # Python has 64:ff9b::/96 among the reserved, from before RFC 6052.
        assert not is_public(str(address)) or not any(special) or address in NAT64

    @given(st.ip_addresses(v=4))
    def test_what_python_takes_for_global_is_public_but_for_the_ranges_above(
        self, address: IPv4Address
    ) -> None:
        assert (
            is_public(str(address))
            or not address.is_global
            or any(address in network for network in GLOBAL_AND_REFUSED)
        )
