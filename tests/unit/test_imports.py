"""The shape of the package, as docs/design/architecture.md describes it: who imports whom, names,
and sizes.

web -> usecases -> runtime, engines, storage      all -> core -> errors      daemon puts the parts
    together
"""

import ast
from collections import Counter, defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.repository import ROOT

MAY_IMPORT = {
    "imagepipe": (),
    "imagepipe.errors": (),
    "imagepipe.core": ("imagepipe.core", "imagepipe.errors"),
    "imagepipe.config": ("imagepipe.config", "imagepipe.core", "imagepipe.errors"),
    # `imagepipe` itself is no more than the version, and the place of the package.
    "imagepipe.engines": (
        "imagepipe.engines",
        "imagepipe.core",
        "imagepipe.errors",
        "imagepipe.runtime.profiling",
        "imagepipe",
    ),
    "imagepipe.storage": (
        "imagepipe.storage",
        "imagepipe.core",
        "imagepipe.errors",
        "imagepipe.runtime.events",
        "imagepipe.runtime.profiling",
    ),
    "imagepipe.replication": (
        "imagepipe.replication",
        "imagepipe.storage",
        "imagepipe.config.settings",
        "imagepipe.runtime.rate_limited_log",
        "imagepipe.runtime.reactor",
        "imagepipe.core",
        "imagepipe.errors",
    ),
    "imagepipe.runtime": ("imagepipe.runtime", "imagepipe.core", "imagepipe.errors"),
    # Of replication what it says about itself, which are values.
    "imagepipe.monitoring": (
        "imagepipe.monitoring",
        "imagepipe.replication.status",
        "imagepipe.engines.engine",
        "imagepipe.core",
        "imagepipe.errors",
    ),
    # Of the engines the protocol alone: daemon/generation/engine_choice decides which.
    "imagepipe.usecases": (
        "imagepipe.usecases",
        "imagepipe.runtime",
        "imagepipe.engines.engine",
        "imagepipe.storage",
        "imagepipe.monitoring.counters",
        "imagepipe.monitoring.engine_check",
        "imagepipe.core",
        "imagepipe.errors",
    ),
    # Of the storage what it says about images, open files, and what an error of the disk means.
    # `imagepipe` itself is the version.
    "imagepipe.web": (
        "imagepipe",
        "imagepipe.web",
        "imagepipe.usecases",
        "imagepipe.runtime",
        "imagepipe.storage.image_info",
        "imagepipe.storage.shared_file",
        "imagepipe.storage.disk",
        "imagepipe.core",
        "imagepipe.errors",
        "imagepipe.monitoring",
        "imagepipe.replication.status",
    ),
    # It puts all parts together.
    "imagepipe.daemon": (
        "imagepipe",
        "imagepipe.daemon",
        "imagepipe.web",
        "imagepipe.usecases",
        "imagepipe.replication",
        "imagepipe.storage",
        "imagepipe.engines",
        "imagepipe.monitoring",
        "imagepipe.config",
        "imagepipe.runtime",
        "imagepipe.core",
        "imagepipe.errors",
    ),
    # It talks to a daemon over the network alone; but for what is done on the node itself.
    "imagepipe.cli": (
        "imagepipe",
        "imagepipe.cli",
        "imagepipe.config",
        "imagepipe.core",
        "imagepipe.errors",
        "imagepipe.daemon.offline",
        "imagepipe.replication.zmq.curve_keys",
        "imagepipe.storage.adopt",
    ),
    "imagepipe.tap": (
        "imagepipe",
        "imagepipe.config",
        "imagepipe.daemon",
        "imagepipe.errors",
        "imagepipe.runtime.reactor",
    ),
}
"""Part of imagepipe -> the parts that it may import. What is not here may not be in the package."""

PURE = frozenset(
    "bisect collections collections.abc dataclasses email.utils enum functools hashlib heapq hmac"
    " ipaddress itertools math msgspec operator re string struct typing unicodedata urllib.parse"
    " zlib".split()
)
"""What the core may import besides: modules without I/O, clock, randomness or threads."""

IMPURE_BUILTINS = frozenset(
    {"open", "print", "input", "breakpoint", "exec", "eval", "__import__", "id", "hash"}
)


def module_of(file: Path) -> str:
    """The dotted name of a source file."""
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def is_module(name: str) -> bool:
    """Whether imagepipe has a module or package of this name."""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@cache
def imports(file: Path) -> AbstractSet[str]:
    """The modules that a file imports, at its top or anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= {
                name if name.startswith("imagepipe.") and is_module(name) else module
                for name in inner
            }
    return found


def within(name: str, part: str) -> bool:
    """Whether a module is `part` or lies in it; in the package itself lies only its own
    __init__.
    """
    return name == part or (part != "imagepipe" and name.startswith(part + "."))


def folders(within_package: str) -> Mapping[str, AbstractSet[str]]:
    """The folders of a package -> the others of its folders that they import from."""

    def folder(module: str) -> str:
        inner = module.removeprefix(f"{within_package}.").split(".")
        return inner[0] if within(module, within_package) and len(inner) > 1 else ""

    graph: dict[str, set[str]] = defaultdict(set)
    for file in SOURCES:
        if here := folder(module_of(file)):
            graph[here] |= {there for name in imports(file) if (there := folder(name))} - {here}
    return graph


def check_no_circle(graph: Mapping[str, AbstractSet[str]]) -> None:
    """Raises CycleError, which names the circle."""
    TopologicalSorter(graph).prepare()


SOURCES = sorted((ROOT / "imagepipe").rglob("*.py"))
LINES_MAX = 400

NAMED_ALIKE = {
    "adopt": "a command, and what it does",
    "history": "a command, and what it prints",
    "lookup": "the decision, and what reads for it",
    "service": "the daemon's, and replication's",
    "status": "a command, and the status of replication",
    "store": "a command, and what it calls",
    "verify": "a command, and what it does",
}
"""Names that two modules may have, because their folders tell them apart."""

WITHOUT_A_MODULE = {
    "test_benchmarks": "benchmarks/",
    "test_constraints": "constraints.txt",
    "test_contributing": "CONTRIBUTING.md",
    "test_documentation": "docs/",
    "test_imports": "the package as a whole",
    "test_links": "links in documents",
    "replication/test_transcript": "the messages as docs/design/replication.md shows them",
    "storage/catalogue/test_migration": "databases of earlier versions",
    "storage/writer/test_conflicts": "commit, join and tree together",
    "web/http/test_failures": "a resource that fails, through the whole server",
}
"""Tests in tests/unit that have no module of their name -> what they test."""

OF_THE_WHOLE_STORE = "storage/"
"""Tests directly in this folder may be of the store as a whole."""


class ImportsTests:
    """The rules of the architecture."""

    @pytest.mark.parametrize("file", SOURCES, ids=module_of)
    def test_a_module_imports_only_what_its_part_may(self, file: Path) -> None:
        ours = {name for name in imports(file) if name.split(".")[0] == "imagepipe"}
        for [allowed] in (
            [[allowed for part, allowed in MAY_IMPORT.items() if within(module_of(file), part)]]
            if ours
            else []
        ):
            assert {
                name for name in ours if not any(within(name, part) for part in allowed)
            } == set()

    @pytest.mark.parametrize("file", SOURCES, ids=module_of)
    def test_imports_are_absolute(self, file: Path) -> None:
        assert not [name for name in imports(file) if name.startswith(".")]

    @pytest.mark.parametrize(
        "file",
        [file for file in SOURCES if within(module_of(file), "imagepipe.core")],
        ids=module_of,
    )
    def test_the_core_is_pure(self, file: Path) -> None:
        assert {name for name in imports(file) if name.split(".")[0] != "imagepipe"} <= PURE
        names = {
            node.id
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }
        assert names & IMPURE_BUILTINS == set()

    @pytest.mark.parametrize("part", ["imagepipe.errors", "imagepipe.config"])
    def test_errors_and_settings_know_no_twisted(self, part: str) -> None:
        for file in SOURCES:
            if within(module_of(file), part):
                assert not [name for name in imports(file) if name.startswith("twisted")]

    def test_no_modules_import_each_other_in_a_circle(self) -> None:
        check_no_circle(
            {
                module_of(file): {name for name in imports(file) if name.startswith("imagepipe.")}
                for file in SOURCES
            }
        )

    @pytest.mark.parametrize("package", ["imagepipe", "imagepipe.core", "imagepipe.storage"])
    def test_no_folders_import_each_other_in_a_circle(self, package: str) -> None:
        check_no_circle(folders(package))

    def test_only_the_daemon_imports_the_web(self) -> None:
        importers = {
            module_of(file)
            for file in SOURCES
            if any(within(name, "imagepipe.web") for name in imports(file))
        }
        assert not [
            name
            for name in importers
            if not within(name, "imagepipe.web") and not within(name, "imagepipe.daemon")
        ]

    def test_one_module_chooses_the_engine(self) -> None:
        choosing = {
            module_of(file)
            for file in SOURCES
            if any(
                within(name, "imagepipe.engines") and name != "imagepipe.engines.engine"
                for name in imports(file)
            )
        }
        assert {name for name in choosing if not within(name, "imagepipe.engines")} == {
            "imagepipe.daemon.generation.engine_choice"
        }

    def test_only_one_module_knows_txzmq(self) -> None:
        assert [
            module_of(file)
            for file in SOURCES
            if any(name.split(".")[0] == "txzmq" for name in imports(file))
        ] == ["imagepipe.replication.zmq.zmq_socket"]

    def test_at_most_four_modules_lie_directly_in_the_package(self) -> None:
        assert len(list((ROOT / "imagepipe").glob("*.py"))) <= 4

    def test_no_two_modules_have_one_name(self) -> None:
        names = Counter(file.stem for file in SOURCES if file.stem != "__init__")
        assert {name for name, number in names.items() if number > 1} <= set(NAMED_ALIKE)
        assert max(names.values()) <= 2

    def test_no_module_is_too_long(self) -> None:
        assert not {
            module_of(file) for file in SOURCES if len(file.read_text().splitlines()) > LINES_MAX
        }

    def test_each_unit_test_is_named_after_a_module(self) -> None:
        unit = ROOT / "tests" / "unit"
        names = {
            file: str(file.relative_to(unit).with_suffix("")) for file in unit.rglob("test_*.py")
        }
        assert not [
            name
            for file, name in names.items()
            if not is_module(f"imagepipe.{name.replace('test_', '').replace('/', '.')}")
            and name not in WITHOUT_A_MODULE
            and f"{file.parent.relative_to(unit)}/" != OF_THE_WHOLE_STORE
        ]

    def test_the_plugin_is_a_service_maker_and_nothing_else(self) -> None:
        plugin = ROOT / "twisted" / "plugins" / "imagepipe_plugin.py"
        assert imports(plugin) == {"twisted.application.service"}
        statements = [type(node) for node in ast.parse(plugin.read_text()).body]
        assert statements == [ast.Expr, ast.ImportFrom, ast.Assign]

    def test_there_is_no_package_that_would_hide_twisteds_own(self) -> None:
        assert list((ROOT / "twisted").rglob("__init__.py")) == []
