"""The commit before, as a peer: another checkout of imagepipe with a .venv of its own.

    make bench BASE=../imagepipe-before BENCH=costs

Its daemon runs beside ours, and both take turns, so that a slow moment of the machine hits both.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from tests.support.daemon_process import DaemonProcess

NOW, BEFORE = "now", "before"


@dataclass(frozen=True, slots=True)
class Checkout:
    """A working copy whose packages are installed in its .venv."""

    root: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.root / ".venv/bin/python"

    def daemon(
        self,
        folder: Path,
        options: dict[str, dict[str, object]],
        wrapper: tuple[str, ...] = (),
    ) -> DaemonProcess:
        """A daemon of this checkout over `folder`, which is made; not started."""
        folder.mkdir(parents=True)
        twistd = self.root / ".venv/bin/twistd"
        return DaemonProcess(folder, options, wrapper, twistd=twistd)


def checkouts() -> dict[str, Checkout]:
    """The one that this is, and the one in the environment variable BASE, if that is set. Raises
    FileNotFoundError if there is none.
    """
    found = {NOW: Checkout(Path(__file__).parent.parent)}
    if base := os.environ.get("BASE"):
        found[BEFORE] = Checkout(Path(base).resolve())
    for checkout in found.values():
        if not checkout.python.exists():
            raise FileNotFoundError(f"{checkout.python} is missing: run `make unit` there")
    return found
