"""A process that writes until it is killed, or for so many calls, and says what it was told.

crasher.py FOLDER SEED CALLS

0 0 ok            the first call of thread 0 was answered
1 0 refused       that of thread 1 changes nothing (the model says so too)
0 1 not stored    the disk is full, or the like: it must not have changed anything
0 2 flush         the disk failed: it may have changed something, and no later call may
fatal             on_fatal was called
"""

import os
import sys
import threading
from pathlib import Path

from imagepipe.errors import BadRequest, FlushError, NotStored
from imagepipe.storage.store import Store
from tests.support.random_load import Walk
from tests.support.stores import open_store

THREADS = 3


def say(line: str) -> None:
    """Print a line in one write: what was said before a kill, was said."""
    os.write(1, line.encode() + b"\n")


def work(store: Store, seed: str, number: int, calls: int) -> None:
    """Make the calls of one thread."""
    walk = Walk(seed, f"x/{number}")
    for call in range(calls):
        operation = walk.next()
        try:
            operation.run(store)
            result = "ok"
        except BadRequest:
            result = "refused"
        except FlushError:
            result = "flush"
        except NotStored:
            result = "not stored"
        say(f"{number} {call} {result}")


def main(folder: str, seed: str, calls: str) -> None:
    """Open, write, close."""
    store = open_store(Path(folder), checkpoint_seconds=0.01, on_fatal=lambda _: say("fatal"))
    say("open")
    threads = [
        threading.Thread(target=work, args=(store, seed, number, int(calls)))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    say("closed")


if __name__ == "__main__":
    main(*sys.argv[1:])
