"""A process that adopts the folder that it is given, and says how far it has come after each batch;
in the end the bytes of memory that it took at most.
"""

import resource
import sys
from pathlib import Path

from imagepipe.core.rows.entries import ImageFacts
from imagepipe.storage.adopt import Adopted, adopt


def _say(adopted: Adopted) -> None:
    sys.stdout.write(f"{adopted}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    adopt(
        Path(sys.argv[1]),
        umask=0o022,
        facts_of=lambda *_: ImageFacts("jpeg", 40, 30),
        now_ms=lambda: 1_700_000_000_000,
        on_progress=_say,
        on_skipped=lambda *_: None,
    )
    sys.stdout.write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10}\n")
