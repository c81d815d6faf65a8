"""The versions in constraints.txt fit what pyproject.toml requires."""

import tomllib
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    *PROJECT["dependencies"],
    *chain.from_iterable(PROJECT["optional-dependencies"].values()),
]
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
PINNED = [
    Requirement(line.partition("  #")[0])
    for line in CONSTRAINTS.splitlines()
    if not line.startswith("#")
]


def versions(python: str) -> dict[str, str]:
    """The version of each package on Linux with this Python."""
    environment = {
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    return {
        canonicalize_name(pinned.name): str(pinned.specifier).removeprefix("==")
        for pinned in PINNED
        if pinned.marker is None or pinned.marker.evaluate(environment)
    }


class ConstraintsTests:
    """If one of these fails, run `make lock`."""

    @pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
    @pytest.mark.parametrize("requirement", REQUIREMENTS)
    def test_every_requirement_has_a_version_that_satisfies_it(
        self, requirement: str, python: str
    ) -> None:
        required = Requirement(requirement)
        assert required.specifier.contains(versions(python)[canonicalize_name(required.name)])

    def test_no_host_is_named(self) -> None:
        assert "://" not in CONSTRAINTS
