"""The render cache against an ordered dict: what it keeps and what it evicts, through stops and
crashes.
"""

import shutil
import tempfile
from collections import OrderedDict
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.caches import BLOCK, crashed, files, get, hexed, open_cache, put

NAMES = st.sampled_from("abcdefgh")
BLOCKS = st.integers(1, 5)
BLOCKS_MAX = 9


def source_of(name: str) -> str:
    """Two renditions are made of each source."""
    return f"source {ord(name) // 2}"


class CacheMachine(RuleBasedStateMachine):
    """`kept`: name -> blocks, the least recently used first."""

    @initialize(in_memory_max=st.sampled_from([1, 3, 100]))
    def begin(self, in_memory_max: int) -> None:
        """Open an empty cache."""
        self.top = Path(tempfile.mkdtemp())
        self.runs = 0
        self.root = self.top / "0"
        self.in_memory_max = in_memory_max
        self.there = set(map(source_of, "abcdefgh"))
        self.kept: OrderedDict[str, int] = OrderedDict()
        self.versions: dict[str, int] = {}
        self.only_in_memory = False
        self.evictions = 0
        self.open()

    def open(self) -> None:
        """Begin a run."""
        self.evictions = 0
        self.cache = open_cache(
            self.root,
            BLOCKS_MAX * BLOCK,
            is_there=lambda source: source in set(map(hexed, self.there)),
            in_memory_max=self.in_memory_max,
        )

    def content(self, name: str, blocks: int) -> bytes:
        """The bytes that were put last under a name."""
        return f"{name} {self.versions[name]} ".encode().ljust(blocks * BLOCK, b".")

    @rule(name=NAMES, blocks=st.integers(1, BLOCKS_MAX + 1))
    def put(self, name: str, blocks: int) -> None:
        """Render something."""
        version, self.versions[name] = self.versions.get(name, 0), self.versions.get(name, 0) + 1
        content = self.content(name, blocks)
        assert put(self.cache, self.root, name, content, source_of(name)) == content
        if name in self.kept or blocks > BLOCKS_MAX:
            self.versions[name] = version
            return
        while sum(self.kept.values()) + blocks > BLOCKS_MAX:
            self.kept.popitem(last=False)
            self.evictions += 1
        if source_of(name) in self.there:
            self.kept[name] = blocks
        self.only_in_memory = False

    @rule(name=NAMES)
    def get(self, name: str) -> None:
        """Ask for something."""
        blocks = self.kept.get(name)
        assert get(self.cache, name) == (None if blocks is None else self.content(name, blocks))
        if blocks is not None:
            self.kept.move_to_end(name)
            self.only_in_memory = True

    @rule(name=NAMES)
    def delete_source(self, name: str) -> None:
        """Delete an image: its object, and then what was made of it."""
        self.there.discard(source_of(name))
        self.cache.forget([hexed(source_of(name))])
        for made in [made for made in self.kept if source_of(made) == source_of(name)]:
            del self.kept[made]

    @rule(name=NAMES)
    def store_source(self, name: str) -> None:
        """Store it again."""
        self.there.add(source_of(name))

    @rule()
    def give_up_space(self) -> None:
        """The disk is full."""
        assert self.cache.give_up_space() == sum(self.kept.values()) * BLOCK
        self.kept.clear()

    @rule()
    def recover(self) -> None:
        """All that is left over goes."""
        self.cache.recover()

    @rule()
    def stop_and_start(self) -> None:
        """End a run in order."""
        self.cache.close()
        self.only_in_memory = False
        self.open()

    @precondition(lambda self: not self.only_in_memory)
    @rule()
    def crash(self) -> None:
        """Go on with what a kill would have left."""
        self.runs += 1
        after = crashed(self.root, self.top / f"{self.runs}")
        self.cache.close()
        self.root = after
        self.open()

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        """Bound, sums, and the files on the disk."""
        assert self.cache.files == len(self.kept) == len(files(self.root))
        assert self.cache.bytes == sum(self.kept.values()) * BLOCK <= BLOCKS_MAX * BLOCK
        assert self.cache.evictions == self.evictions

    def teardown(self) -> None:
        """Close and remove it."""
        self.cache.close()
        shutil.rmtree(self.top)


CacheMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
CacheModelTests = CacheMachine.TestCase
