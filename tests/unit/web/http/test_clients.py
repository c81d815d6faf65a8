"""Which requests count as one client's."""

from types import SimpleNamespace

import pytest
from twisted.web.http_headers import Headers

from imagepipe.web.http.clients import client_of


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.7", [], "192.0.2.7"),
        ("::ffff:192.0.2.7", [], "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::"),
        ("2001:db8:1:2::9", [], "2001:db8:1:2::"),
        ("fe80::1%eth0", [], "fe80::"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("::1", [], "::1"),
        (None, [], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        ("::1", ["198.51.100.1", "2001:db8::1"], "2001:db8::"),
        (None, ["192.0.2.7"], "192.0.2.7"),
        ("127.0.0.1", ["unknown"], "127.0.0.1"),
        ("127.0.0.1", ["\xff\xfe"], "127.0.0.1"),
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),
    ],
)
def test_a_client_is_an_address_or_an_ipv6_network(
    peer: str | None, forwarded: list[str], client: str
) -> None:
    headers = Headers({b"x-forwarded-for": [value.encode("latin-1") for value in forwarded]})
    address = SimpleNamespace(host=peer) if peer else SimpleNamespace(name="/run/socket")
    assert (
        client_of(SimpleNamespace(getClientAddress=lambda: address, requestHeaders=headers))
        == client
    )
