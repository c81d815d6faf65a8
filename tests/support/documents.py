"""The documents of the repository, as GitHub shows them."""

import re


def anchors(text: str) -> set[str]:
    """What links to a Markdown document can name after a #: its headings and its `<a id="...">`."""
    headings = re.findall(r"^#{1,6} (.+)$", _without_code_blocks(text), flags=re.MULTILINE)
    return {_slug(heading) for heading in headings} | set(re.findall(r'<a id="([^"]+)">', text))


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _without_code_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
