"""Nodes that write on the same few paths, above and below each other, and exchange rows in any
order: they end with the same map and the same tree.
"""

import random
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from imagepipe.errors import BadRequest
from imagepipe.storage.store import Store
from tests.support.exchange import check_shown, pull, retry, rows_of
from tests.support.random_load import Walk
from tests.support.stores import check_kept, held, open_store, tree

NODES = ("one", "two", "three")
STEPS = 60


class ExchangeTests:
    @pytest.mark.parametrize("seed", range(10))
    def test_nodes_converge_and_every_tree_is_what_its_map_says(
        self, tmp_path: Path, seed: int
    ) -> None:
        chance = random.Random(seed)
        stores: dict[str, Store] = {}
        walks = {name: Walk(f"{seed} {name}", "x") for name in NODES}
        offsets = {name: chance.choice([0, 0, 3_600_000]) for name in NODES}

        def opened(name: str) -> Store:
            return open_store(tmp_path / name, now_ms=lambda: 1_700_000_000_000 + offsets[name])

        def close() -> None:
            for store in stores.values():
                store.close()

        with ExitStack() as stack:
            for name in NODES:
                stores[name] = opened(name)
            stack.callback(close)
            for step in range(STEPS):
                name = chance.choice(NODES)
                other = stores[chance.choice([one for one in NODES if one != name])]
                store = stores[name]
                kind = chance.random()
                if kind < 0.45:
                    with suppress(BadRequest):
                        walks[name].next().run(store)
                elif kind < 0.85:
                    lost = [
                        row.entry.content.digest
                        for row in other.peers.changes(0, 1000).rows
                        if row.entry.content and chance.random() < 0.2
                    ]
                    pull(store, other, limit=chance.choice([1, 3, 256]), cut=chance, lost=lost)
                elif kind < 0.95:
                    retry(store, [other])
                else:
                    store.close()
                    store = stores[name] = opened(name)
                check_shown(store, tmp_path / name)
                if step % 20 == 19:
                    check_kept(store, tmp_path / name)
            for _ in range(len(NODES)):
                for name in NODES:
                    for other in stores.values():
                        if other is not stores[name]:
                            pull(stores[name], other, cut=chance)
                            retry(stores[name], list(stores.values()))
            maps = [rows_of(store) for store in stores.values()]
            assert maps[0] == maps[1] == maps[2]
            trees = [tree(tmp_path / name) for name in NODES]
            assert trees[0] == trees[1] == trees[2]
            for name, store in stores.items():
                assert store.peers.pending() == ()
                check_shown(store, tmp_path / name)
                check_kept(store, tmp_path / name)
                assert held(store).keys() == {path for path, row in maps[0].items() if row.content}
