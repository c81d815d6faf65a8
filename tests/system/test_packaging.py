"""What `pip install .` installs: the whole package and the plugin, and nothing that would get in
Twisted's way.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from imagepipe.web import welcome
from tests.support.repository import ROOT

DOCUMENTATION = "share/doc/imagepipe"
SOURCES = (
    "pyproject.toml",
    "setup.py",
    *(path.name for path in ROOT.glob("*.md")),
    "LICENSE",
    "imagepipe.ini.dist",
    "docs",
    "imagepipe",
    "twisted",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built by setuptools alone, as pip has it built: without a network."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree / name)
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True)
    [built] = (tree / "dist").glob("*.whl")
    return built


class WheelTests:
    """The wheel's files, and that Twisted finds them."""

    def test_it_has_every_file_of_the_package(self, wheel: Path) -> None:
        ours = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / "imagepipe").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert {
            name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("imagepipe/")
        } == ours

    def test_among_twisteds_packages_it_has_the_plugin_alone(self, wheel: Path) -> None:
        names = zipfile.ZipFile(wheel).namelist()
        assert [name for name in names if name.startswith("twisted/")] == [
            "twisted/plugins/imagepipe_plugin.py"
        ]

    def test_it_has_no_other_top_level(self, wheel: Path) -> None:
        tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
        assert {top for top in tops if not top.endswith((".dist-info", ".data"))} == {
            "imagepipe",
            "twisted",
        }

    def test_it_installs_the_documentation_where_its_links_work(self, wheel: Path) -> None:
        names = zipfile.ZipFile(wheel).namelist()
        documents = {
            name.partition(f"{DOCUMENTATION}/")[2]
            for name in names
            if f".data/data/{DOCUMENTATION}/" in name
        }
        docs = {
            path.relative_to(ROOT).as_posix()
            for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert documents == {"LICENSE", "imagepipe.ini.dist"} | docs

    def test_every_mention_of_the_documentation_names_that_folder(self) -> None:
        unit = (ROOT / "contrib/systemd/imagepipe.service").read_text()
        assert f"\nDocumentation=file:///opt/imagepipe/{DOCUMENTATION}/README.md\n" in unit
        assert DOCUMENTATION in welcome.DOCUMENTATION

    def test_twistd_finds_the_plugin_in_it_from_any_folder(
        self, wheel: Path, tmp_path: Path
    ) -> None:
        site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
        zipfile.ZipFile(wheel).extractall(site)
        elsewhere.mkdir()
        # An editable install of this tree, where there is one, must not answer in its place.
        script = (
            "import sys; sys.path[:] = [path for path in sys.path if path !="
            f" {str(ROOT)!r}]\nimport imagepipe; assert"
            " imagepipe.__file__.startswith(sys.argv.pop(1)), imagepipe.__file__\nfrom"
            " twisted.scripts.twistd import run; run()"
        )
        environment = {**os.environ, "PYTHONPATH": str(site)}
        command = [sys.executable, "-c", script, str(site), "--help"]
        said = subprocess.run(
            command, cwd=elsewhere, env=environment, check=True, capture_output=True, text=True
        ).stdout
        assert "imagepipe        A high-availability image store." in said
