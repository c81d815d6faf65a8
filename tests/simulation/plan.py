"""What a seed makes of a run: how many nodes, who pulls from whom, how bad the weather is, what
goes wrong and how often.
"""

import random
from dataclasses import dataclass, field, replace

from imagepipe.core.replication.pending import PENDING_MAX
from tests.simulation.network import Weather

HOUR_MS = 3_600_000.0

FAULTS = {
    "crash": 6,
    "crash_after_commit": 6,
    "partition": 4,
    "flap": 2,
    "stall": 4,
    "fill_disk": 3,
    "rot": 3,
    "clock": 3,
    "cut_connection": 4,
    "relink": 2,
    "slow_store": 3,
    "collect": 8,
    "back_up": 6,
    "restore": 3,
    "live_again": 6,
    "hide": 3,
    "lose_folder": 2,
    "clone": 1,
    "away": 1,
}
"""The faults of faults.py, and how often each is chosen."""


@dataclass(frozen=True)
class Plan:
    """links: for each node those it pulls from. seconds: how long things go wrong. clocks: offset
    in ms and rate of each node's wall clock.

    victims: nodes that pull from a hostile peer too; none: there is no such peer. It is there until
    the others have converged, and is cut off then.

    late: nodes that join the cluster only then. mends: what is damaged is mended in the end, and
    now and then before, where anyone it can be had from has good bytes: verify --repair.
    pending_max: as for Replica.
    """

    links: dict[str, tuple[str, ...]]
    seconds: float = 20.0
    weather: Weather = field(default_factory=Weather)
    clocks: dict[str, tuple[float, float]] = field(default_factory=dict)
    late: dict[str, float] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    writes: int = 30
    rows_max: int = 256
    slowness: float = 0.02
    watch_silence: bool = False
    mends: bool = True
    pending_max: int = PENDING_MAX
    victims: tuple[str, ...] = ()

    @property
    def everywhere(self) -> bool:
        """Whether each node reaches each other."""
        return all(len(reaching(self.links, name)) == len(self.links) for name in self.links)


def reaching(links: dict[str, tuple[str, ...]], name: str) -> list[str]:
    """The nodes whose changes reach `name`, itself first."""
    found = [name]
    for one in found:
        found += [upstream for upstream in links[one] if upstream not in found]
    return found


def random_plan(seed: int) -> Plan:
    """The plan of a seed."""
    rng = random.Random(f"plan {seed}")
    names = [f"n{at}" for at in range(rng.choice((2, 2, 3, 3, 3, 4, 4, 5)))]
    seconds = rng.uniform(5, 25)
    how_many = rng.choice((0, 3, 8, 15))
    faults = tuple(rng.choices(list(FAULTS), list(FAULTS.values()), k=how_many))
    spread = rng.choice((0.0, 1000.0, 3 * HOUR_MS))
    plan = Plan(
        links=_links(rng, names),
        seconds=seconds,
        weather=_weather(rng),
        clocks={
            name: (rng.uniform(-spread, spread), rng.choice((1.0, 1.0, 1.01, 0.98)))
            for name in names
        },
        late={names[-1]: rng.uniform(0, seconds)} if rng.random() < 0.2 else {},
        faults=faults,
        writes=rng.choice((5, 20, 40, 60)),
        rows_max=rng.choice((1, 2, 3, 5, 256)),
        slowness=rng.choice((0.001, 0.02, 0.02, 0.3)),
        watch_silence=rng.random() < 0.25,
        mends=rng.random() < 0.6,
        victims=_victims(seed, names),
    )
    # Rows beyond the bound are not pending: where nothing is mended, some would never be heard of.
    return replace(
        plan, pending_max=rng.choice((1, 1, 2, PENDING_MAX)) if plan.mends else PENDING_MAX
    )


def _victims(seed: int, names: list[str]) -> tuple[str, ...]:
    rng = random.Random(f"victims {seed}")
    return tuple(name for name in names if rng.random() < 0.6) if rng.random() < 0.4 else ()


def _weather(rng: random.Random) -> Weather:
    if rng.random() < 0.2:
        return Weather(doorbells=rng.random() < 0.7)
    return Weather(
        loss=rng.choice((0.0, 0.05, 0.2, 0.4)),
        doubled=rng.choice((0.0, 0.1, 0.3)),
        delay_min=0.0005,
        delay_max=rng.choice((0.005, 0.1, 1.0, 3.0)),
        ordered=rng.random() < 0.5,
        doorbells=rng.random() < 0.85,
    )


def _links(rng: random.Random, names: list[str]) -> dict[str, tuple[str, ...]]:
    count = len(names)
    shape = rng.choice(("chain", "ring", "star", "mesh", "random", "random", "one way"))
    if shape == "chain":
        chosen = {(names[at], names[at + 1]) for at in range(count - 1)}
        chosen |= {(puller, upstream) for upstream, puller in chosen}
    elif shape == "ring":
        chosen = {(names[at], names[at - 1]) for at in range(count)}
    elif shape == "star":
        chosen = {(names[0], name) for name in names[1:]} | {(name, names[0]) for name in names[1:]}
    elif shape == "mesh":
        chosen = {(one, other) for one in names for other in names}
    elif shape == "one way":  # towards the greater names only
        chosen = {(names[at], names[rng.randrange(at)]) for at in range(1, count)}
    else:
        order = rng.sample(names, count)
        chosen = {(order[at], order[at - 1]) for at in range(count)}  # so that each reaches each
        chosen |= {(rng.choice(names), rng.choice(names)) for _ in range(rng.randrange(count + 1))}
    return {
        name: tuple(
            other for other in rng.sample(names, count) if other != name and (name, other) in chosen
        )
        for name in names
    }
