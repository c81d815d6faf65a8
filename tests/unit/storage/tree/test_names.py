"""Temporary names in the tree, and those that an earlier run left behind."""

from imagepipe.storage.tree.names import is_leftover, temporary_name

RUN = "0123456789abcdef"


class LeftoverTests:
    def test_only_temporary_names_of_other_runs_are_leftovers(self) -> None:
        assert is_leftover(b".imagepipe-ffffffffffffffff-7", RUN)
        assert not is_leftover(f".imagepipe-{RUN}-7".encode(), RUN)
        for name in (
            b".imagepipe",
            b".imagepipe-1-7",
            b"imagepipe-ffffffffffffffff-7",
            b".imagepipe-ffffffffffffffff-7.jpg",
        ):
            assert not is_leftover(name, RUN)

    def test_a_temporary_name_is_a_leftover_to_every_other_run(self) -> None:
        name = temporary_name(RUN, 17)
        assert not is_leftover(name, RUN)
        assert is_leftover(name, "f" * 16)
