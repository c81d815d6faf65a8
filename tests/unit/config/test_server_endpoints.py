"""What a server endpoint string says about its port."""

import pytest

from imagepipe.config.server_endpoints import interface_of, speaks_tls


class ServerEndpointTests:
    @pytest.mark.parametrize(
        ("endpoint", "is_tls", "interface"),
        [
            ("tcp:8085", False, "0.0.0.0"),
            ("tcp:8085:interface=127.0.0.1", False, "127.0.0.1"),
            ("tcp:8085:interface=:backlog=5", False, "0.0.0.0"),
            ("tcp6:8085", False, "::"),
            (r"tcp6:port=8085:interface=\:\:1", False, "::1"),
            ("ssl:8443:privateKey=key.pem:certKey=cert.pem", True, "0.0.0.0"),
            ("ssl:8443:interface=10.0.0.1", True, "10.0.0.1"),
            ("haproxy:tcp:8085", False, "0.0.0.0"),
            ("haproxy:ssl:8085:interface=127.0.0.1", True, "127.0.0.1"),
            ("unix:/run/imagepipe.sock:mode=660", False, None),
            ("systemd:domain=INET:index=0", False, None),
            ("haproxy:systemd:domain=INET:name=ssl", False, None),
        ],
    )
    def test_it_says_whether_the_port_speaks_tls_and_on_which_address(
        self, endpoint: str, is_tls: bool, interface: str | None
    ) -> None:
        assert (speaks_tls(endpoint), interface_of(endpoint)) == (is_tls, interface)
