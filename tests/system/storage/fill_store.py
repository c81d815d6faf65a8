"""Fills the small disk that it is given until nothing fits, and makes room again; ends with
`whole`, or with what was wrong.

filler.py FOLDER
"""

import sys
from pathlib import Path

from imagepipe.errors import NotStored
from imagepipe.storage.store import Store
from tests.support.stores import check_whole, delete, held, move, opened, put, tree


def refused(store: Store, root: Path, images: dict[str, bytes]) -> bool:
    """Put images; whether the disk was full. Then nothing may have changed, to the last folder and
    name.
    """
    before, rows = tree(root), held(store)
    try:
        put(store, images)
    # the latter out of the test's own writing into the staging folder
    except (NotStored, OSError) as error:
        why = str(error)
    else:
        return False
    assert "the disk is full" in why or "No space left" in why, why
    assert tree(root) == before
    assert held(store) == rows
    return True


def main(folder: str) -> None:
    """Fill it in steps from large to tiny, so that at the end not a row fits, then delete and store
    again.
    """
    root = Path(folder)
    with opened(root) as store:
        number = 0
        for size in (300_000, 30_000, 3_000, 300, 1):
            while not refused(
                store,
                root,
                {
                    f"n/{number}/{size}.jpg": b"%d " % number + b"x" * size,
                    f"n/{number}/s/t.jpg": b"%d" % number,
                },
            ):
                number += 1
        assert number > 10, number
        for _ in range(3):
            assert refused(store, root, {"big": bytes(4_000_000)})
        for deleted in range(1, 10):
            delete(store, f"n/{deleted}/300000.jpg", f"n/{deleted}/s/t.jpg")
        check_whole(store, root)
        move(store, ("n/0/300000.jpg", "n/0/renamed.jpg"))
        assert not refused(store, root, {"again.jpg": b"y" * 400_000})
        check_whole(store, root)
    with opened(root) as store:
        check_whole(store, root)
        assert store.info("again.jpg")
    print("whole")


if __name__ == "__main__":
    main(sys.argv[1])
