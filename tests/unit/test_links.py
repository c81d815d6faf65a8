"""Every link in a document of the repository leads to a file and, after a #, to a place in it."""

import re
from pathlib import Path

import pytest

from tests.support.documents import anchors
from tests.support.repository import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def links(document: Path) -> list[str]:
    """The targets of a document's links and images, but those on other sites."""
    text = re.sub(
        r"^```.*?^```$|`[^`\n]*`", "", document.read_text(), flags=re.MULTILINE | re.DOTALL
    )
    return re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = []
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_anchor_is_there_twice(document: Path) -> None:
    found = re.findall(r'<a id="([^"]+)">', document.read_text())
    assert len(found) == len(set(found))


def test_there_are_links_to_check() -> None:
    assert sum(len(links(document)) for document in DOCUMENTS) > 50
