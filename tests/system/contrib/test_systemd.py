"""The units of contrib/systemd, as systemd itself reads them."""

import re
import subprocess
from pathlib import Path

import pytest

from imagepipe.config.loading import load
from tests.support.repository import ROOT

UNITS = ROOT / "contrib/systemd"
SERVICE = (UNITS / "imagepipe.service").read_text()
SETTINGS = load(UNITS / "imagepipe.ini")
SOCKETS = sorted(UNITS.glob("*.socket"))

EXPOSURE_MAX = 15
"""In tenths: what docs/operations.md says, and a little more for a newer systemd's questions."""


class UnitTests:
    """What systemd says of them, and what must agree between them."""

    def test_systemd_finds_nothing_wrong_but_that_imagepipe_is_not_installed(
        self, tmp_path: Path
    ) -> None:
        for unit in [UNITS / "imagepipe.service", *SOCKETS]:
            # The one thing that a machine where the tests run does not have.
            (tmp_path / unit.name).write_text(
                unit.read_text()
                .replace("/opt/imagepipe/bin/", "/bin/")
                .replace("/bin/twistd", "/bin/true")
            )
        service = tmp_path / "imagepipe.service"
        service.write_text(service.read_text().replace("/bin/imagepipe", "/bin/true"))
        verified = _analyze(
            "verify", "--man=no", str(service), *(str(tmp_path / unit.name) for unit in SOCKETS)
        )
        assert [line for line in verified.stderr.splitlines() if "imagepipe" in line] == []

    def test_it_is_hardly_exposed(self) -> None:
        rated = _analyze(
            "security",
            "--offline=true",
            f"--threshold={EXPOSURE_MAX}",
            str(UNITS / "imagepipe.service"),
        )
        assert rated.returncode == 0, rated.stdout

    @pytest.mark.parametrize("socket", SOCKETS, ids=lambda path: path.stem)
    def test_a_socket_has_the_name_that_the_endpoint_asks_for(self, socket: Path) -> None:
        [name] = re.findall(r"^FileDescriptorName=(\w+)$", socket.read_text(), flags=re.MULTILINE)
        assert f"systemd:domain=INET:name={name}" in {
            SETTINGS.network.endpoint,
            SETTINGS.http.endpoint,
        }
        assert f"endpoint = systemd:domain=INET:name={name}\n" in socket.read_text()
        assert socket.name in re.findall(r"^Sockets=(.*)$", SERVICE, flags=re.MULTILINE)[0].split()

    @pytest.mark.parametrize("socket", SOCKETS, ids=lambda path: path.stem)
    def test_a_socket_is_for_this_machine_alone(self, socket: Path) -> None:
        assert re.findall(r"^ListenStream=(.*):\d+$", socket.read_text(), flags=re.MULTILINE) == [
            "127.0.0.1"
        ]

    def test_the_images_lie_where_the_unit_may_write(self) -> None:
        [folder] = re.findall(r"^StateDirectory=(.*)$", SERVICE, flags=re.MULTILINE)
        assert SETTINGS.images.path.is_relative_to(f"/var/lib/{folder}")

    def test_every_file_that_the_steps_name_is_there(self) -> None:
        named = [
            name for name in re.findall(r"contrib/systemd/([\w.*-]+)", SERVICE) if "*" not in name
        ]
        assert named
        assert [name for name in named if not (UNITS / name).is_file()] == []


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
