"""Which IP addresses an original may be fetched from: those of the public internet.

    is_public("93.184.216.34")       -> True
    is_public("::ffff:127.0.0.1")    -> False

The ranges are written out, from IANA's registries of special-purpose addresses (RFC 6890 and what
has been added since): `ipaddress.is_global` means something else in each version of Python. In
doubt an address is not public; of IPv6 only what has been given out as global unicast is.
"""

from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network; Linux takes 0.0.0.0 for loopback
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        # registered as public, but in Azure the host itself, which tells a machine its secrets
        "168.63.129.16/32",
        "169.254.0.0/16",  # link-local; the metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""Outside of it: unspecified, loopback, IPv4-compatible, -mapped and -translated, unique local,
link-local, site-local, multicast.
"""

_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them, which embeds IPv4 addresses
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which embeds IPv4 addresses
        "3fff::/20",  # documentation
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")
"""How a network without IPv4 reaches it (RFC 6052): the last four bytes are the IPv4 address."""


def is_public(address: str) -> bool:
    """Whether a connection to this address, in its usual notation, leads to the public internet.
    False for what is no address, or has a scope id.
    """
    try:
        return (
            _is_public_4(IPv4Address(address))
            if ":" not in address
            else _is_public_6(IPv6Address(address))
        )
    except AddressValueError:
        return False


def _is_public_4(address: IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC_4)


def _is_public_6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return _is_public_4(IPv4Address(address.packed[-4:]))
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_6)
