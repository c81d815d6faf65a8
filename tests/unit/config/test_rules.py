"""How options must fit each other."""

from pathlib import Path

import pytest

from tests.support.config_files import option, problem, problems, settings


class TogetherTests:
    """What options must be to each other."""

    @pytest.mark.parametrize(
        ("one", "other"), [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")]
    )
    def test_a_certificate_and_its_key_go_together(
        self, tmp_path: Path, one: str, other: str
    ) -> None:
        (tmp_path / "file").touch()
        assert (
            problem(tmp_path, "network", f"{one} = file")
            == f"[network] {one}: needs {other} as well"
        )
        assert (
            problem(tmp_path, "network", f"{one} = file\n{other} = none")
            == f"[network] {one}: needs {other} as well"
        )

    def test_there_is_one_certificate(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        lines = "endpoint = ssl:8443:privateKey=key.pem\ntls_certificate = file\ntls_key = file"
        assert "has its own certificate" in problem(tmp_path, "network", lines)

    @pytest.mark.parametrize("section", ["network", "http"])
    def test_an_endpoint_stands_in_place_of_interface_and_port(
        self, tmp_path: Path, section: str
    ) -> None:
        found = problem(tmp_path, section, "endpoint = unix:/a\nport = 1")
        assert (
            found == f"[{section}] endpoint: replaces interface and port; remove port, or endpoint"
        )

    def test_two_servers_need_two_ports(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "http", "port = 8085")
            == "[http] port = 8085: is also the port of [network]; use two different ports"
        )
        assert (
            settings(
                tmp_path,
                "[network]\ninterface = 127.0.0.1\n[http]\ninterface = 127.0.0.2\nport = 8085\n",
            ).http.port
            == 8085
        )
        assert settings(tmp_path, "[network]\nport = 0\n[http]\nport = 0\n").http.port == 0

    def test_replication(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "replication", "sync = tcp://a:1")
            == "[replication] sync: needs publish as well"
        )
        assert "use two different endpoints" in problem(
            tmp_path, "replication", "publish = tcp://a:1\nsync = tcp://a:1"
        )
        assert "there is no next port for sync" in problem(
            tmp_path, "replication", "publish = tcp://a:65535"
        )
        assert "this node's own" in problem(
            tmp_path, "replication", "publish = tcp://a:1\nsubscribe = tcp://a:1"
        )
        assert "both must be tcp, or both ipc" in problem(
            tmp_path, "replication", "publish = tcp://a:1\nsync = ipc:///a"
        )

    def test_confirmations_need_someone_who_can_confirm(self, tmp_path: Path) -> None:
        assert "min_acks: needs publish" in problem(
            tmp_path, "replication", "min_acks = 1\nsubscribe = tcp://a:1"
        )
        assert (
            option(
                tmp_path, "replication", "min_acks = 1\npublish = tcp://a:1"
            ).replication.acks_min
            == 1
        )

    def test_with_keys_every_peer_has_a_name(self, tmp_path: Path) -> None:
        (tmp_path / "curve").mkdir()
        assert "needs a name with keys" in problem(
            tmp_path, "replication", "keys = curve\nsubscribe = tcp://a:1"
        )
        assert option(
            tmp_path, "replication", "keys = curve\nsubscribe = north@tcp://a:1"
        ).replication.subscribe

    @pytest.mark.parametrize(
        ("lines", "is_exposed"),
        [
            ("publish = tcp://0.0.0.0:8086", True),
            ("publish = tcp://10.0.0.1:8086", True),
            ("publish = tcp://127.0.0.1:8086", False),
            ("publish = tcp://[::1]:8086", False),
            ("publish = ipc:///run/imagepipe", False),
            ("publish = tcp://0.0.0.0:8086\nkeys = curve", False),
            ("subscribe = tcp://10.0.0.1:8086", False),
        ],
    )
    def test_publishing_to_anyone_is_worth_a_warning(
        self, tmp_path: Path, lines: str, is_exposed: bool
    ) -> None:
        (tmp_path / "curve").mkdir()
        assert (
            any(
                "without keys, anyone" in warning
                for warning in option(tmp_path, "replication", lines).warnings
            )
            == is_exposed
        )

    def test_the_imagemagick_engine_needs_convert(self, tmp_path: Path) -> None:
        text = "[images]\npath = images\nengine = {engine}\n[imagemagick]\nconvert = {convert}\n"
        [only] = problems(tmp_path, text.format(engine="imagemagick", convert="/nowhere/convert"))
        assert only.startswith("[imagemagick] convert = /nowhere/convert: there is no such program")
        [warning] = settings(
            tmp_path, text.format(engine="auto", convert="/nowhere/convert")
        ).warnings
        assert warning.startswith(
            "[imagemagick] convert = /nowhere/convert: there is no such program"
        )
        assert (
            settings(tmp_path, text.format(engine="vips", convert="/nowhere/convert")).warnings
            == ()
        )

    def test_convert_must_be_executable(self, tmp_path: Path) -> None:
        (tmp_path / "convert").touch(0o644)
        [warning] = option(tmp_path, "imagemagick", f"convert = {tmp_path}/convert").warnings
        assert "is not executable" in warning

    def test_convert_is_a_whole_path(self, tmp_path: Path) -> None:
        assert "is not a full path" in problem(tmp_path, "imagemagick", "convert = convert")

    def test_images_that_cannot_arrive_are_warned_of(self, tmp_path: Path) -> None:
        [warning] = settings(
            tmp_path,
            "[images]\npath = images\nmax_bytes = 50 MiB\n[imagemagick]\nconvert = /bin/sh\n",
        ).warnings
        assert "more than the 67108864 bytes that [network] max_request allows" in warning
