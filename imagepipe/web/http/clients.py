"""Tells clients apart in order to treat them fairly; nothing is allowed or refused by it."""

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

NETWORK_BITS = 64
"""The length of the IPv6 prefix that belongs to one client, which can use every address in it."""


def client_of(request: Any) -> str:
    """The client's address, or its network for IPv6.

    Behind a proxy on this machine, it is the last address in X-Forwarded-For.
    """
    client = network_of(getattr(request.getClientAddress(), "host", None) or "127.0.0.1")
    if not ip_address(client).is_loopback:
        return client
    forwarded = b",".join(request.requestHeaders.getRawHeaders(b"x-forwarded-for", ()))
    try:
        return network_of(forwarded.rpartition(b",")[2].strip().decode("ascii", "replace"))
    except ValueError:
        return client


def network_of(text: str) -> str:
    """The client that an address belongs to: itself, or its IPv6 network."""
    address: Any = ip_address(text.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if isinstance(address, IPv6Address) and not address.is_loopback:
        address = IPv6Network((int(address), NETWORK_BITS), strict=False).network_address
    return str(address)
