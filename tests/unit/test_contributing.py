"""What CONTRIBUTING.md and its neighbours name is there."""

import re

import pytest

from tests.support.repository import ROOT

DOCUMENTS = ("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")


@pytest.mark.parametrize("document", DOCUMENTS)
class ContributingTests:
    def test_every_file_is_there(self, document: str) -> None:
        text = (ROOT / document).read_text()
        named = re.findall(r"`((?:imagepipe|tests|docs|contrib|benchmarks)/[\w./-]*)`", text)
        linked = re.findall(r"\]\((?!https?:)([^)#]+)", text)
        modules = {
            path.name for folder in ("imagepipe", "tests") for path in (ROOT / folder).rglob("*.py")
        }
        assert set(re.findall(r"`(\w+\.py)`", text)) <= modules
        assert [path for path in (*named, *linked) if not (ROOT / path).exists()] == []

    def test_every_command_is_in_the_makefile(self, document: str) -> None:
        text = (ROOT / document).read_text()
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        named = re.findall(r"(?:`|^\$ )(?:PYTHON=\S+ )?make ([a-z]+)", text, flags=re.MULTILINE)
        assert set(named) <= set(targets)
