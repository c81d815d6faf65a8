"""A `convert` that lets renders through one by one, when a test says so, and reads headers
at once.
"""

import os
import stat
from pathlib import Path


class SteppedConvert:
    """Each render announces itself and waits for a token; `headers` and `renders` are how many
    there were.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.convert = folder / "convert"
        self._calls = folder / "calls"
        arrivals, tokens = folder / "arrivals", folder / "tokens"
        os.mkfifo(arrivals)
        os.mkfifo(tokens)
        self._arrivals = os.open(arrivals, os.O_RDWR)
        self._tokens = os.open(tokens, os.O_RDWR)
        wait = f"echo . > {arrivals}; head --bytes=1 {tokens} > /dev/null"
        self.convert.write_text(f"""#!/bin/sh
case "$*" in
*info:-) echo header >> {self._calls} ;;
*) echo render >> {self._calls}; {wait} ;;
esac
exec /usr/bin/convert "$@"
""")
        self.convert.chmod(self.convert.stat().st_mode | stat.S_IXUSR)

    def wait_for_arrival(self) -> None:
        """Blocks until one more render waits."""
        os.read(self._arrivals, 2)

    def let_through(self, renders: int = 1) -> None:
        """Let so many through, now or when they come."""
        os.write(self._tokens, b"." * renders)

    @property
    def headers(self) -> int:
        """How many headers were read."""
        return self._count("header")

    @property
    def renders(self) -> int:
        """How many renders have begun."""
        return self._count("render")

    def remove(self) -> None:
        """Close the files."""
        os.close(self._arrivals)
        os.close(self._tokens)

    def _count(self, what: str) -> int:
        return self._calls.read_text().split().count(what) if self._calls.exists() else 0
