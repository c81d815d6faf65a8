"""Which calls share a transaction, and which images may be beside each other."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.paths import ancestors
from imagepipe.core.rows.entries import Content, Entry, PathChange
from imagepipe.core.rows.stamp import Version
from imagepipe.errors import BadRequest
from imagepipe.storage.writer.calls import CALLS_MAX, WriteCall, WriterTask, take_group
from imagepipe.storage.writer.nesting import check_nesting

PATHS = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join)


def call(*paths: str) -> WriteCall:
    """A call that looks at `paths`."""
    return WriteCall(paths, lambda _: ())


def groups(*calls: WriteCall | WriterTask[bool]) -> list[list[WriteCall] | WriterTask[bool]]:
    """All groups of a queue."""
    waiting = deque(calls)
    taken = []
    while waiting:
        taken.append(take_group(waiting))
    return taken


class GroupTests:
    def test_calls_on_different_paths_go_together(self) -> None:
        calls = [call("a/1", "a/2"), call("a/3"), call("b"), call("a0")]
        assert groups(*calls) == [calls]

    @pytest.mark.parametrize("paths", [("a", "a"), ("a", "a/b/c"), ("a/b/c", "a")])
    def test_calls_in_each_others_way_do_not(self, paths: tuple[str, str]) -> None:
        first, second = call(paths[0]), call("x", paths[1])
        assert groups(first, second) == [[first], [second]]

    def test_one_call_may_have_paths_below_each_other(self) -> None:
        only = call("a", "a/b")
        assert groups(only) == [[only]]

    def test_a_task_comes_in_its_turn_and_alone(self) -> None:
        first, task, last = call("a"), WriterTask(lambda: True), call("b")
        assert groups(first, task, last) == [[first], task, [last]]

    def test_a_group_is_bounded(self) -> None:
        calls = [call(str(number)) for number in range(CALLS_MAX + 1)]
        assert groups(*calls) == [calls[:-1], calls[-1:]]

    @given(st.lists(st.lists(PATHS, max_size=3).map(tuple), max_size=12))
    def test_order_is_kept_and_no_group_has_two_calls_in_each_others_way(
        self, wanted: list[tuple[str, ...]]
    ) -> None:
        calls = [call(*paths) for paths in wanted]
        taken = groups(*calls)
        assert [one for group in taken if isinstance(group, list) for one in group] == calls
        for group in taken:
            assert isinstance(group, list)
            for at, one in enumerate(group):
                for other in group[:at]:
                    for path in one.paths:
                        for theirs in other.paths:
                            assert path != theirs
                            assert path not in ancestors(theirs)
                            assert theirs not in ancestors(path)


def nested(live: set[str]) -> bool:
    """Whether one path lies below another."""
    return any(ancestor in live for path in live for ancestor in ancestors(path))


class NestingTests:
    @given(st.sets(PATHS), st.dictionaries(PATHS, st.booleans()))
    def test_refused_exactly_if_the_result_is_nested(
        self, some: set[str], wanted: dict[str, bool]
    ) -> None:
        live = {path for path in some if not any(ancestor in some for ancestor in ancestors(path))}
        content = Content("d", 1)
        rows = {path: Entry(path, Version(1, "a"), None, content, 1) for path in live}
        changes = [PathChange(path, content if stored else None) for path, stored in wanted.items()]
        result = (live - wanted.keys()) | {path for path, stored in wanted.items() if stored}

        def related(path: str) -> list[Entry]:
            return [
                row
                for other, row in rows.items()
                if other in ancestors(path) or path in ancestors(other)
            ]

        before = {path: rows.get(path) for path in wanted}
        if nested(result):
            with pytest.raises(BadRequest, match=r"^dst_path: "):
                check_nesting(changes, before, related, "dst_path")
        else:
            met = check_nesting(changes, before, related, "dst_path")
            assert met == any(
                related(path) for path, stored in wanted.items() if stored or path in live
            )
