"""The store against a dict: after every call, refused or not, the tree holds exactly what the dict
does, and so it does after a crash.
"""

import subprocess
from pathlib import Path

import pytest

from imagepipe.errors import BadRequest
from tests.support.random_load import Refused, Walk
from tests.support.stores import check_whole, expected_tree, open_store, tree

STEPS = 120


class ModelTests:
    @pytest.mark.parametrize("seed", range(8))
    def test_a_random_walk_agrees_with_a_dict(self, tmp_path: Path, seed: int) -> None:
        root = tmp_path / "0"
        store = open_store(root)
        walk = Walk(str(seed), "x")
        images: dict[str, bytes] = {}
        refused = 0
        for step in range(STEPS):
            operation = walk.next()
            try:
                after = operation.apply(images)
            except Refused:
                refused += 1
                with pytest.raises(BadRequest):
                    operation.run(store)
            else:
                operation.run(store)
                images = after
            assert tree(root) == expected_tree(images), (seed, step, operation)
            if step % 40 == 19:
                check_whole(store, root)
            if step % 40 == 29:  # a copy is what a crash at this moment would leave
                copy = tmp_path / str(step)
                subprocess.run(["/bin/cp", "-a", root, copy], check=True)
                store.close()
                root = copy
                store = open_store(root)
            if step % 40 == 39:
                store.close()
                store = open_store(root)
        assert refused
        check_whole(store, root)
        store.close()
