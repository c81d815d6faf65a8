"""Paths, and files that must exist."""

from pathlib import Path

import pytest

from imagepipe.errors import ConfigError
from tests.support.config_files import option, problem, settings


class PathTests:
    """Files and folders, and where the images may be."""

    def test_relative_paths_start_at_the_file(self, tmp_path: Path) -> None:
        for name in ("users", "cert.pem", "key.pem", "keys.txt"):
            (tmp_path / name).write_text("secret\n")
        (tmp_path / "curve").mkdir()
        loaded = settings(
            tmp_path,
            "[network]\nusers = users\ntls_certificate = ./cert.pem\ntls_key ="
            " key.pem\n[http]\nsecrets_file = keys.txt\n[replication]\nkeys = curve\n",
        )
        assert (loaded.network.users, loaded.network.tls_certificate) == (
            tmp_path / "users",
            tmp_path / "cert.pem",
        )
        assert (loaded.network.tls_key, loaded.replication.keys) == (
            tmp_path / "key.pem",
            tmp_path / "curve",
        )
        assert loaded.http.secrets == ("secret",)

    def test_a_file_that_is_not_there_or_not_one(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        assert (
            problem(tmp_path, "network", "users = nobody")
            == f"[network] users = nobody: there is no file {tmp_path}/nobody"
        )
        assert (
            problem(tmp_path, "network", "users = folder")
            == f"[network] users = folder: {tmp_path}/folder is not a file"
        )
        assert "there is no folder" in problem(tmp_path, "replication", "keys = imagepipe.ini")

    def test_the_home_is_not_known(self, tmp_path: Path) -> None:
        assert "write the full path" in problem(tmp_path, "images", "path = ~/images")

    def test_secrets_from_a_file_are_its_lines(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_bytes(b"\xef\xbb\xbf one, with # anything \r\n\n two\n")
        assert option(tmp_path, "http", "secrets_file = keys").http.secrets == (
            "one, with # anything",
            "two",
        )

    @pytest.mark.parametrize(
        ("content", "why"),
        [(b"\n \n", "is empty"), (b"\xff", "is not UTF-8"), (b"a\0b", "control characters")],
    )
    def test_a_file_without_secrets(self, tmp_path: Path, content: bytes, why: str) -> None:
        (tmp_path / "keys").write_bytes(content)
        assert why in problem(tmp_path, "http", "secrets_file = keys")

    def test_secrets_stand_in_the_file_or_beside_it_not_both(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text("a")
        found = problem(tmp_path, "http", "secrets = b\nsecrets_file = keys")
        assert found == "[http] secrets_file: secrets is set too; keep one of the two"

    def test_secrets_are_not_in_the_representation(self, tmp_path: Path) -> None:
        assert "hush" not in repr(option(tmp_path, "http", "secrets = hush"))

    @pytest.mark.parametrize(
        "path", ["/", "/etc", "/usr/", "/var/../etc", "//", "/proc/1", "/sys/x"]
    )
    def test_a_folder_of_the_system_is_not_for_images(self, tmp_path: Path, path: str) -> None:
        assert "is a system folder" in problem(tmp_path, "images", f"path = {path}")

    @pytest.mark.parametrize("path", [".", "images/.."])
    def test_nor_is_the_folder_of_the_configuration(self, tmp_path: Path, path: str) -> None:
        assert problem(tmp_path, "images", f"path = {path}").endswith(
            "is the folder that contains imagepipe.ini; name a separate folder, such as images"
        )

    def test_nor_is_anything_in_imagepipes_own(self, tmp_path: Path) -> None:
        assert "holds imagepipe's own files" in problem(tmp_path, "images", "path = a/.imagepipe/b")

    def test_nor_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for path in ("file", "file/images"):
            assert "not a folder" in problem(tmp_path, "images", f"path = {path}")

    def test_a_link_to_a_folder_is_kept_as_it_is_written(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        assert option(tmp_path, "images", "path = link").images.path == tmp_path / "link"

    def test_a_folder_above_the_configuration_is_warned_of(self, tmp_path: Path) -> None:
        inner = tmp_path / "etc" / "imagepipe"
        inner.mkdir(parents=True)
        [warning] = [
            warning
            for warning in option(inner, "images", "path = ../..").warnings
            if warning.startswith("[images] path")
        ]
        assert warning.endswith("so a web server that serves the images also serves that file")

    @pytest.mark.parametrize("name", ["users", "tls_key", "tls_certificate"])
    def test_what_must_stay_secret_does_not_lie_among_the_images(
        self, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "file").touch()
        with pytest.raises(
            ConfigError,
            match=(
                rf"\[network\] {name} = .*: lies inside \[images\] path, which is served; move it"
                r" elsewhere"
            ),
        ):
            option(tmp_path, "network", f"{name} = images/file")
