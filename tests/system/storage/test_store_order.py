"""The order in which a change reaches the disk, as the kernel saw it: any other would lose
something when the power goes.
"""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.stores import PRIVATE, digest

SCRIPT = """
import os, sys
from pathlib import Path
from tests.support.stores import open_store, put
store = open_store(Path(sys.argv[1]))
put(store, {"x": b"one"})
store.tidy().result()
os.mkdir(sys.argv[1] + "/begin")
put(store, {"a/b": b"two", "x": b"three"})
os.mkdir(sys.argv[1] + "/answered")
store.tidy().result()
os.mkdir(sys.argv[1] + "/tidied")
store.close()
"""
CALLS = "fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat"


def system_calls(root: Path, log: Path) -> list[str]:
    """What SCRIPT asked of the kernel, with short names for things."""
    names = [(digest(content), f"<{content.decode()}>") for content in (b"one", b"two", b"three")]
    lines = []
    for line in log.read_text().splitlines():
        match = re.search(r"(\w+)\((.*)\) += 0", line)
        if match:
            places = " ".join(re.findall(rf'{re.escape(str(root))}/?([^"<>,]*)', match[2]))
            for long, short in names:
                places = re.sub(rf"objects/../{long}", short, places).replace(
                    f"objects/{long[:2]}", f"folder of {short}"
                )
            places = places.replace(f"{PRIVATE}/", "")
            places = re.sub(
                r"staging/[0-9a-f]{16}-\d+",
                "staging",
                re.sub(r"\.imagepipe-[0-9a-f]{16}-\d+", "TEMPORARY", places),
            )
            lines.append(f"{match[1].removesuffix('at')} {places or '.'}")
    return [line for line, _ in itertools.groupby(lines)]  # a log that begins anew is flushed twice


class OrderTests:
    def test_objects_then_rows_then_tree_then_what_was_replaced(self, tmp_path: Path) -> None:
        root, log = tmp_path / "images", tmp_path / "log"
        subprocess.run(
            [
                "strace",
                "-f",
                "-y",
                "-qq",
                "-o",
                log,
                "-e",
                f"trace={CALLS}",
                sys.executable,
                "-c",
                SCRIPT,
                root,
            ],
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        lines = system_calls(root, log)
        folders = sorted(["two", "three"], key=lambda name: digest(name.encode()))
        assert lines[lines.index("mkdir begin") + 1 : lines.index("mkdir answered")] == [
            "mkdir staging",
            "fsync staging/0",
            "fsync staging/1",
            "rename staging/0 <two>",
            "rename staging/1 <three>",
            *(f"fsync folder of <{name}>" for name in folders),
            "mkdir a",
            "link <two> a/TEMPORARY",
            "link <three> TEMPORARY",
            "fdatasync catalogue.sqlite-wal",
            "rename a/TEMPORARY a/b",
            "rename TEMPORARY x",
        ]
        tidying = lines[lines.index("mkdir answered") + 1 : lines.index("mkdir tidied")]
        assert sorted(tidying[:2]) == ["fsync .", "fsync a"]
        assert tidying[2:4] == ["fdatasync catalogue.sqlite-wal", "unlink <one>"]
