"""Names, addresses, endpoints, URLs and lists."""

from pathlib import Path

import pytest

from imagepipe.config import EngineChoice, Peer
from tests.support.config_files import option, problem, settings


class ValueTests:
    """Names, addresses, endpoints, URLs and lists."""

    @pytest.mark.parametrize("text", ["127.0.0.1", "::", "::1", "fe80::1%eth0"])
    def test_interfaces(self, tmp_path: Path, text: str) -> None:
        assert option(tmp_path, "network", f"interface = {text}").network.interface == text

    @pytest.mark.parametrize("text", ["localhost", "127.0.0.1:80", "1.2.3", "*", "256.0.0.1"])
    def test_an_invalid_interface_is_refused(self, tmp_path: Path, text: str) -> None:
        assert "is not an IP address" in problem(tmp_path, "network", f"interface = {text}")

    @pytest.mark.parametrize("section", ["network", "http"])
    def test_hosts_are_kept_as_they_are_compared(self, tmp_path: Path, section: str) -> None:
        def hosts(line: str) -> tuple[str, ...]:
            found: tuple[str, ...] = getattr(option(tmp_path, section, line), section).hosts
            return found

        assert hosts("") == ()
        assert hosts("hosts = none") == ()
        assert hosts("hosts = Images.Example.org.") == ("images.example.org",)
        assert hosts("hosts = a.example, b.example, A.example") == ("a.example", "b.example")
        for wrong in (
            "https://a.example",
            "a.example:8085",
            "a.example/x",
            "*.example",
            "bücher.example",
            "a..b",
            "user@a.example",
        ):
            assert "is not a host" in problem(tmp_path, section, f"hosts = b.example, {wrong}")
        assert "is empty" in problem(tmp_path, section, 'hosts = ""')

    @pytest.mark.parametrize(
        "text",
        [
            "unix:/run/imagepipe.sock:mode=660",
            "systemd:domain=INET:index=0",
            r"tcp:8085:interface=127.0.0.1",
            "tcp6:80",
        ],
    )
    def test_endpoints(self, tmp_path: Path, text: str) -> None:
        assert option(tmp_path, "network", f"endpoint = {text}").network.endpoint == text
        assert option(tmp_path, "http", f"endpoint = {text}").http.endpoint == text

    @pytest.mark.parametrize(
        "text",
        ["localhost:80", "8085", "unix", "unix:", "http://localhost", "tcp://0.0.0.0:1", "stdio:"],
    )
    def test_an_invalid_endpoint_is_refused(self, tmp_path: Path, text: str) -> None:
        assert "is not a server endpoint" in problem(tmp_path, "network", f"endpoint = {text}")

    @pytest.mark.parametrize(
        "text", ["graphite", "graphite.example.org", "10.0.0.1", "::1", "a-b_c.d."]
    )
    def test_hosts(self, tmp_path: Path, text: str) -> None:
        assert option(tmp_path, "graphite", f"host = {text}").graphite.host == text

    @pytest.mark.parametrize(
        "text",
        [
            "graphite:2003",
            "http://graphite",
            "a b",
            "a..b",
            "-a",
            "a" * 64,
            ".".join(["a" * 60] * 5),
        ],
    )
    def test_an_invalid_host_is_refused(self, tmp_path: Path, text: str) -> None:
        assert "is not a host" in problem(tmp_path, "graphite", f"host = {text}")

    @pytest.mark.parametrize("text", ["a b", ".a", "a.", "a..b", "a/b"])
    def test_an_invalid_prefix_is_refused(self, tmp_path: Path, text: str) -> None:
        assert "must consist of" in problem(tmp_path, "graphite", f"prefix = {text}")

    @pytest.mark.parametrize("text", ["two words", "-a", "a" * 65, "a/b"])
    def test_an_invalid_cluster_is_refused(self, tmp_path: Path, text: str) -> None:
        assert "at most 64 letters" in problem(tmp_path, "replication", f"cluster = {text}")

    @pytest.mark.parametrize("name", ["auto", "vips", "imagemagick"])
    def test_engines(self, tmp_path: Path, name: str) -> None:
        text = f"[images]\npath = images\nengine = {name}\n[imagemagick]\nconvert = /bin/sh\n"
        assert settings(tmp_path, text).images.engine is EngineChoice(name)

    def test_an_invalid_engine_is_refused(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "images", "engine = magick")
            == "[images] engine = magick: must be one of auto, vips, imagemagick"
        )

    @pytest.mark.parametrize(
        ("publish", "sync"),
        [
            ("tcp://0.0.0.0:8086", "tcp://0.0.0.0:8087"),
            ("tcp://*:8086", "tcp://*:8087"),
            ("tcp://[::1]:8086", "tcp://[::1]:8087"),
            ("tcp://eth0:1", "tcp://eth0:2"),
            ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"),
            ("ipc:///run/imagepipe.sock", "ipc:///run/imagepipe.sock.sync"),
        ],
    )
    def test_sync_is_beside_publish(self, tmp_path: Path, publish: str, sync: str) -> None:
        replication = option(tmp_path, "replication", f"publish = {publish}").replication
        assert (replication.publish, replication.sync) == (publish, sync)

    def test_sync_may_be_elsewhere(self, tmp_path: Path) -> None:
        assert (
            option(
                tmp_path, "replication", "publish = tcp://*:65535\nsync = tcp://*:1"
            ).replication.sync
            == "tcp://*:1"
        )

    @pytest.mark.parametrize(
        "text",
        [
            "tcp://0.0.0.0",
            "tcp://0.0.0.0:00",
            "tcp://0.0.0.0:65536",
            "0.0.0.0:8086",
            "tcp://:1",
            "ipc://run/a",
            "ipc:///",
            "ipc:///a/",
            "inproc://a",
        ],
    )
    def test_an_invalid_zeromq_endpoint_is_refused(self, tmp_path: Path, text: str) -> None:
        assert "write tcp://HOST:PORT or ipc:///path/to/socket" in problem(
            tmp_path, "replication", f"publish = {text}"
        )

    def test_a_socket_path_that_the_system_would_cut(self, tmp_path: Path) -> None:
        assert "at most 102 bytes" in problem(
            tmp_path, "replication", f"publish = ipc:///{'a' * 102}"
        )
        assert option(tmp_path, "replication", f"publish = ipc:///{'a' * 101}")

    def test_one_peer_is_a_list_too(self, tmp_path: Path) -> None:
        assert option(tmp_path, "replication", "subscribe = tcp://a:1").replication.subscribe == (
            Peer(None, "tcp://a:1"),
        )

    def test_peers_may_have_names(self, tmp_path: Path) -> None:
        found = option(
            tmp_path, "replication", "subscribe = north@tcp://a:1, ipc:///b"
        ).replication.subscribe
        assert found == (Peer("north", "tcp://a:1"), Peer(None, "ipc:///b"))

    @pytest.mark.parametrize("text", ["a@tcp://a:1, a@tcp://b:1", "a@tcp://a:1, b@tcp://a:1"])
    def test_a_peer_twice(self, tmp_path: Path, text: str) -> None:
        assert (
            problem(tmp_path, "replication", f"subscribe = {text}")
            == f"[replication] subscribe = {text}: names a peer twice"
        )

    @pytest.mark.parametrize("text", ["@tcp://a:1", "a b@tcp://a:1", "a@", "a", "tcp://a:0"])
    def test_an_invalid_peer_is_refused(self, tmp_path: Path, text: str) -> None:
        assert problem(tmp_path, "replication", f"subscribe = {text}").startswith(
            f"[replication] subscribe = {text}: "
        )

    @pytest.mark.parametrize(
        "text",
        [
            "http://example.org/a/",
            "https://example.org",
            "http://[::1]:8000/",
            "http://example.org/?id=",
        ],
    )
    def test_source_bases(self, tmp_path: Path, text: str) -> None:
        assert option(tmp_path, "http", f"source_base = {text}").http.source_base == text

    @pytest.mark.parametrize(
        "text",
        [
            "example.org",
            "ftp://example.org/",
            "http:///a",
            "http://a:b/",
            "http://a:0/",
            "http://[::1/",
            "http://u@a/",
            "http://a/ b",
            "'http://a/#b'",
        ],
    )
    def test_an_invalid_source_base_is_refused(self, tmp_path: Path, text: str) -> None:
        assert "is not a URL to fetch from" in problem(tmp_path, "http", f"source_base = {text}")

    def test_a_comma_in_what_is_one_value_must_be_quoted(self, tmp_path: Path) -> None:
        assert problem(tmp_path, "http", "source_base = http://x/a,b").endswith(
            "must be a single value, but the comma makes it a list: quote it"
        )
        assert (
            option(tmp_path, "http", "source_base = 'http://x/a,b'").http.source_base
            == "http://x/a,b"
        )

    def test_sources_are_a_list(self, tmp_path: Path) -> None:
        assert option(tmp_path, "http", "sources = http://a/b").http.sources == ("http://a/b",)
        assert option(tmp_path, "http", "sources = http://a/b, https://c:1/").http.sources == (
            "http://a/b",
            "https://c:1/",
        )

    @pytest.mark.parametrize("text", ["http://a/?b", "http://a/%2e", "http://a/../b"])
    def test_a_source_is_a_plain_path(self, tmp_path: Path, text: str) -> None:
        assert "a source consists of a scheme, a host" in problem(
            tmp_path, "http", f"sources = {text}"
        )

    def test_extensions_are_a_list(self, tmp_path: Path) -> None:
        assert option(tmp_path, "http", "extensions = jpg").http.extensions == ("jpg",)
        assert option(tmp_path, "http", "extensions = jpg, png, jpg,").http.extensions == (
            "jpg",
            "png",
        )

    @pytest.mark.parametrize("text", ["svg", ".jpg", "JPG", "auto"])
    def test_an_invalid_extension_is_refused(self, tmp_path: Path, text: str) -> None:
        assert "is not one of jpg," in problem(tmp_path, "http", f"extensions = png, {text}")

    def test_outputs_are_a_list(self, tmp_path: Path) -> None:
        names = ("w500.jpg", "x300.webp", "300x400-q60.jpg", "full_size.auto", "w1-q100.png")
        assert option(tmp_path, "http", f"outputs = {', '.join(names)}").http.outputs == names

    @pytest.mark.parametrize(
        "text",
        [
            "w0.jpg",
            "500.jpg",
            "w500",
            "w500.svg",
            "w500-q0.jpg",
            "w500-q101.jpg",
            "full_size-q.jpg",
            "a/w500.jpg",
        ],
    )
    def test_an_invalid_output_is_refused(self, tmp_path: Path, text: str) -> None:
        assert "is not the name of a rendition" in problem(tmp_path, "http", f"outputs = {text}")

    def test_an_empty_value_is_a_problem_and_none_is_not(self, tmp_path: Path) -> None:
        # An empty `users` is what a template leaves behind that could not fill it in: it must not
        # mean "no password".
        assert "is empty" in problem(tmp_path, "network", "users =")
        assert "is empty" in problem(tmp_path, "network", "users = # none")
        assert "is an empty list" in problem(tmp_path, "http", "secrets = ,")
        assert option(tmp_path, "network", "users = none").network.users is None

    def test_only_what_may_be_absent_can_be_none(self, tmp_path: Path) -> None:
        assert "must be a whole number" in problem(tmp_path, "network", "port = none")
        assert option(tmp_path, "http", "port = none").http.port is None


class EnvironmentTests:
    """`[imagemagick] [[env]]` is free."""

    def test_a_variable_adds_to_the_defaults(self, tmp_path: Path) -> None:
        env = option(
            tmp_path,
            "imagemagick",
            "[[env]]\nMAGICK_TIME_LIMIT = 5\nMAGICK_MEMORY_LIMIT = 256MiB\nEMPTY = ''",
        ).imagemagick.env
        assert env == {
            "MAGICK_THREAD_LIMIT": "1",
            "MAGICK_TIME_LIMIT": "5",
            "MAGICK_MEMORY_LIMIT": "256MiB",
            "EMPTY": "",
        }

    def test_a_list_is_none_of_its_values(self, tmp_path: Path) -> None:
        found = problem(tmp_path, "imagemagick", "[[env]]\nA = b, c")
        assert (
            found
            == "[imagemagick] [[env]] A: must be a single value, but the comma makes it a list:"
            " quote it"
        )

    @pytest.mark.parametrize("name", ["A-B", "1A", "__many__", "A B"])
    def test_a_variable_has_a_name_that_can_be_one(self, tmp_path: Path, name: str) -> None:
        found = problem(tmp_path, "imagemagick", f"[[env]]\n{name} = 1")
        assert found == f"[imagemagick] [[env]] {name}: is not the name of an environment variable"
