"""A disk or a network of a test's own, in Linux namespaces that end with the process in them.

No root is needed, but the system must let this user make user namespaces: containers and chroots
often do not.
"""

import functools
import os
import subprocess
from pathlib import Path

import pytest

_MADE_TO_TRY = ("unshare", "--map-root-user", "--mount", "--net", "true")


@functools.cache
def _refusal() -> str:
    """Why no namespace can be made; empty if they can."""
    try:
        tried = subprocess.run(_MADE_TO_TRY, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return tried.stderr.strip() if tried.returncode else ""


if _refusal() and "CI" in os.environ:
    # Nothing that could be installed would help, but what lands must have been tested whole.
    raise RuntimeError(f"these tests need user, mount and network namespaces: {_refusal()}")

needs_namespaces = pytest.mark.skipif(
    bool(_refusal()),
    reason=(
        "needs user, mount and network namespaces, which this system does not permit"
        f" ({_refusal()})"
    ),
)
"""Marks tests that cannot run without namespaces; they are skipped, with the reason, where there
are none.
"""


def small_disk(folder: Path, options: str, environment: str = "") -> tuple[str, ...]:
    """What runs a command on a tmpfs of its own, mounted at `folder` with these mount options.

    environment: assignments for the command, such as `TMPDIR="$0"`, where $0 is the folder.
    """
    command = f'mount -t tmpfs -o {options} small "$0" && {environment} exec "$@"'
    return ("unshare", "--map-root-user", "--mount", "sh", "-c", command, str(folder))


def machine_with_address(address: str) -> tuple[str, ...]:
    """What runs a command on a network of its own, where the loopback interface also has
    `address`.
    """
    command = f'ip link set lo up && ip address add {address}/32 dev lo && exec "$@"'
    return ("unshare", "--map-root-user", "--net", "sh", "-c", command, "sh")
