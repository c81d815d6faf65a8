"""Where peers are asked."""

import pytest

from imagepipe.core.replication.endpoints import announced_sync, default_sync, sync_of


class EndpointsTests:
    """Requests go beside what a peer publishes on, unless it says otherwise."""

    @pytest.mark.parametrize(
        ("publish", "sync"),
        [
            ("tcp://10.0.0.2:8086", "tcp://10.0.0.2:8087"),
            ("tcp://[::1]:8086", "tcp://[::1]:8087"),
            ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"),
            ("ipc:///run/one", "ipc:///run/one.sync"),
        ],
    )
    def test_the_default_is_the_next_port_or_a_path_beside(self, publish: str, sync: str) -> None:
        assert default_sync(publish) == sync

    @pytest.mark.parametrize(
        ("publish", "sync", "said"),
        [
            ("tcp://0.0.0.0:8086", "tcp://0.0.0.0:8087", ""),
            ("tcp://0.0.0.0:8086", "tcp://0.0.0.0:9000", "9000"),
            ("ipc:///run/one", "ipc:///run/one.sync", ""),
            ("ipc:///run/one", "ipc:///run/two", "/run/two"),
        ],
    )
    def test_a_node_says_only_what_nobody_would_guess(
        self, publish: str, sync: str, said: str
    ) -> None:
        assert announced_sync(publish, sync) == said
        assert sync_of(publish, said) == sync

    @pytest.mark.parametrize(
        "said", ["", "0", "65536", "-1", "x", "٣", "/run/two", "127.0.0.1:22", "9" * 200]
    )
    def test_nonsense_beside_a_port_is_not_believed(self, said: str) -> None:
        assert sync_of("tcp://north:8086", said) == "tcp://north:8087"

    @pytest.mark.parametrize("said", ["", "9000", "run/two"])
    def test_nonsense_beside_a_path_is_not_believed(self, said: str) -> None:
        assert sync_of("ipc:///run/one", said) == "ipc:///run/one.sync"
