"""contrib/docker: what can be checked without an engine."""

import re
import shlex

import pytest

from imagepipe.config.loading import load
from tests.support.repository import ROOT

DOCKER = ROOT / "contrib/docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
COMPOSE = (DOCKER / "compose.yaml").read_text()
NODES = re.findall(r"^  (\w+):\n    <<: \*node$", COMPOSE, flags=re.MULTILINE)


class ImageTests:
    """The Dockerfile."""

    def test_what_pip_needs_is_let_through_to_the_build(self) -> None:
        _, *let_through, ignored = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
        assert ignored == "**/__pycache__"
        assert [name for name in let_through if not any(ROOT.glob(name.removeprefix("!")))] == []
        assert {
            "!imagepipe",
            "!twisted",
            "!setup.py",
            "!pyproject.toml",
            "!constraints.txt",
            "!*.md",
            "!docs",
            "!imagepipe.ini.dist",
        } <= set(let_through)

    def test_it_does_not_run_as_root(self) -> None:
        [user] = re.findall(r"^USER (\w+)$", DOCKERFILE, flags=re.MULTILINE)
        assert (
            f"useradd --uid 1000 --gid 1000 --no-create-home --home-dir /var/lib/{user} --shell"
            f" /usr/sbin/nologin {user}" in DOCKERFILE
        )

    def test_the_command_names_the_file_that_compose_puts_there(self) -> None:
        [command] = re.findall(r"^CMD \[(.+)\]$", DOCKERFILE, flags=re.MULTILINE)
        *_, configuration = shlex.split(command.replace(",", " "))
        assert COMPOSE.count(f":{configuration}:ro") == len(NODES)


class ComposeTests:
    """The nodes of compose.yaml, and their configurations."""

    def test_there_are_three(self) -> None:
        assert NODES == ["north", "south", "west"]

    @pytest.mark.parametrize("name", NODES)
    def test_each_is_ready_for_the_health_check_and_for_its_peers(self, name: str) -> None:
        settings = load(DOCKER / f"{name}.ini")
        assert f'"./{name}.ini:' in COMPOSE
        assert f"http://127.0.0.1:{settings.http.port}/healthz" in DOCKERFILE
        assert {peer.endpoint for peer in settings.replication.subscribe} == {
            f"tcp://{other}:8086" for other in NODES if other != name
        }
        assert settings.replication.publish == "tcp://0.0.0.0:8086"
        assert str(settings.images.path).startswith("/var/lib/imagepipe/")
        # a container's loopback is its own
        assert settings.network.interface == settings.http.interface == "0.0.0.0"
