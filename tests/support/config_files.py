"""Configuration files for tests: what is loaded from one, and the problems in it."""

from pathlib import Path

import pytest

from imagepipe.config import Settings, load
from imagepipe.errors import ConfigError


def write(folder: Path, text: str | bytes) -> Path:
    """A configuration file in `folder`."""
    file = folder / "imagepipe.ini"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def settings(folder: Path, text: str = "") -> Settings:
    """The settings of a file that says `text`, and a path for the images unless `text` has one."""
    return load(write(folder, text if "[images]" in text else f"{text}\n[images]\npath = images\n"))


def option(folder: Path, section: str, line: str) -> Settings:
    """The settings of a file with `line` in `section`."""
    lines = (
        {section: line}
        if section == "images" and line.startswith("path")
        else {"images": "path = images", section: line}
    )
    if section == "images" and not line.startswith("path"):
        lines = {"images": f"path = images\n{line}"}
    return load(write(folder, "".join(f"[{name}]\n{text}\n" for name, text in lines.items())))


def problems(folder: Path, text: str | bytes) -> list[str]:
    """Everything that is wrong with a file that says `text`."""
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text))
    return list(caught.value.problems)


def problem(folder: Path, section: str, line: str) -> str:
    """The one thing that is wrong with `line` in `section`."""
    with pytest.raises(ConfigError) as caught:
        option(folder, section, line)
    [only] = caught.value.problems
    return only
