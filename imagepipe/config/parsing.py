"""The text of imagepipe.ini -> checked values by section and option, and a sentence for each
problem.

ConfigObj parses and its validate checks. This module finds what they would silently accept: options
and sections that do not exist, and a `#` that cuts a value short.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configobj import ConfigObj, ConfigObjError, DuplicateError, ParseError, Section, flatten_errors
from configobj.validate import Validator

from imagepipe.config.spec import CONFIGSPEC, checks
from imagepipe.errors import quoted

_SECTION_LINE = re.compile(
    r"\s*(?P<depth>\[+)\s*(?P<quote>[\"']?)(?P<name>.*?)(?P=quote)\s*\]+\s*(?:#.*)?"
)
_OPTION_LINE = re.compile(
    r"\s*(?P<quote>[\"']?)(?P<name>[^=#]*?)(?P=quote)\s*=\s*(?P<value>.*?)\s*"
)
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SECRET = frozenset({("http", "secrets")})


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """The contents of the file.

    `values`: (section, option) -> value, defaults included; options with a problem are left out.
    `given`: the options that the file itself sets. `env`: `[imagemagick] [[env]]`. `complete`: no
    line was dropped, so an option that is not given is really not in the file.
    """

    values: Mapping[tuple[str, str], Any]
    given: frozenset[tuple[str, str]]
    env: Mapping[str, str]
    problems: tuple[str, ...]
    complete: bool

    def get(self, section: str, option: str) -> Any:
        """The value of an option, or None if it has none or has a problem."""
        return self.values.get((section, option))

    def lacks(self, section: str, option: str) -> bool:
        """Whether the option has no value, and not because of a problem."""
        return (section, option) in self.values and self.values[section, option] is None

    def has(self, section: str, option: str) -> bool:
        """Whether the file itself sets the option to a value other than none."""
        return (section, option) in self.given and self.get(section, option) is not None


def parse(text: str, start: Path) -> ParsedFile:
    """Parse and check `text`; relative paths in it start at the folder `start`."""
    lines = text.split("\n")
    config, problems, sound = _read(lines)
    if not sound:
        return ParsedFile({}, frozenset(), {}, tuple(problems), complete=False)
    complete = not problems
    problems += _cut_short(config, lines)
    problems += _remove_unknown(config)
    given = {
        (section, option): config[section][option]
        for section in config.sections
        for option in config[section].scalars
    }

    config.configspec = _specification()
    bad: set[tuple[str, str]] = set()
    for sections, option, error in flatten_errors(
        config, config.validate(Validator(checks(start)), preserve_errors=True)
    ):
        place, key = f"[{sections[0]}]", (sections[0], option)
        if len(sections) > 1:
            problems.append(f"{place} [[{sections[1]}]] {option}: {error}")
        else:
            problems.append(f"{place} {option} = {_value(key, given[key])}: {error}")
            bad.add(key)
    values = {
        (section, option): config[section][option]
        for section in config.sections
        for option in config[section].scalars
    }
    return ParsedFile(
        {key: value for key, value in values.items() if key not in bad},
        frozenset(given),
        dict(config["imagemagick"]["env"]),
        tuple(problems),
        complete,
    )


def _specification() -> ConfigObj:
    return ConfigObj(CONFIGSPEC.split("\n"), interpolation=False, list_values=False, _inspec=True)


def _read(lines: list[str]) -> tuple[ConfigObj, list[str], bool]:
    """The file without its broken lines, a problem for each of them, and whether the rest can be
    trusted.
    """
    try:
        return ConfigObj(lines, interpolation=False), [], True
    except ConfigObjError as error:
        # Only the part before the `=`: the value may be a secret.
        problems = [
            f"line {each.line_number}, {quoted(each.line.partition('=')[0].strip())}:"
            f" {_explain(each)}"
            for each in error.errors
        ]
        # After a broken section line, options would be attributed to the section before.
        sound = all(
            isinstance(each, DuplicateError | ParseError) and not each.line.lstrip().startswith("[")
            for each in error.errors
        )
        return error.config, problems, sound


def _explain(error: ConfigObjError) -> str:
    section = error.line.lstrip().startswith("[")
    if isinstance(error, DuplicateError):
        return (
            "this section occurs twice; merge the two"
            if section
            else "this option occurs twice; keep one of the two"
        )
    if section:
        return "this is not a section header; write [name], or [[env]] below [imagemagick]"
    return "this is neither `option = value` nor `[section]`; check its quotes and commas"


def _remove_unknown(config: ConfigObj) -> list[str]:
    """A problem for each section and option that does not exist. They are removed, because validate
    trips over some of them.
    """
    specification = _specification()
    problems = [
        f"{_plain(option)}: is not in any section; it comes before the first one"
        for option in config.scalars
    ]
    for section in config.sections:
        if section not in specification.sections:
            problems.append(
                f"[{_plain(section)}]: there is no such"
                f" section{_suggestion(section, specification.sections)}"
            )
        else:
            problems += _remove_unknown_options(section, config[section], specification)
    for name in [
        *config.scalars,
        *(section for section in config.sections if section not in specification.sections),
    ]:
        del config[name]
    return problems


def _remove_unknown_options(section: str, options: Section, specification: ConfigObj) -> list[str]:
    known = specification[section]
    problems = []
    for option in [option for option in options.scalars if option not in known.scalars]:
        elsewhere = [
            f"[{other}]"
            for other in specification.sections
            if option in specification[other].scalars
        ]
        hint = _suggestion(option, known.scalars) or (
            f"; it belongs to {' and '.join(elsewhere)}" if elsewhere else ""
        )
        if option in known.sections:
            hint = f"; write a section [[{option}]]"
        problems.append(f"[{section}] {_plain(option)}: there is no such option{hint}")
        del options[option]
    for inner in list(options.sections):
        if inner not in known.sections:
            hint = (
                f"; {inner} is an option"
                if inner in known.scalars
                else _suggestion(inner, known.sections)
            )
            problems.append(f"[{section}] [[{_plain(inner)}]]: there is no such section{hint}")
            del options[inner]
        else:
            problems += _remove_unknown_variables(section, inner, options[inner])
    return problems


def _remove_unknown_variables(section: str, inner: str, variables: Section) -> list[str]:
    problems = []
    for variable in [*variables.sections, *variables.scalars]:
        if isinstance(variables[variable], Section):
            problems.append(
                f"[{section}] [[{inner}]] [[[{_plain(variable)}]]]: there is no such section"
            )
            del variables[variable]
        elif not _VARIABLE_NAME.fullmatch(variable) or variable == "__many__":
            problems.append(
                f"[{section}] [[{inner}]] {_plain(variable)}: is not the name of an environment"
                " variable"
            )
            del variables[variable]
    return problems


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name.lower(), known, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _cut_short(config: ConfigObj, lines: list[str]) -> list[str]:
    """A problem for each value with a `#` in it: ConfigObj takes the rest for a comment, so that
    pass#word becomes pass.
    """
    problems = []
    place: dict[int, Any] = {0: config}
    depth = 0
    for number, line in enumerate(lines, 1):
        header, option = _SECTION_LINE.fullmatch(line), _OPTION_LINE.fullmatch(line)
        if header:
            depth = len(header["depth"])
            place[depth] = place[depth - 1][header["name"]]
        elif option and not line.lstrip().startswith("#"):
            comment = place[depth].inline_comments.get(option["name"]) or ""
            before = option["value"].removesuffix(comment)
            if comment and before[-1:].strip(" \t\"',"):
                problems.append(
                    f"line {number}, {quoted(option['name'])}: the value is cut off at the `#`;"
                    " quote it, or put a space before a comment"
                )
    return problems


def _value(key: tuple[str, str], value: str | list[str]) -> str:
    """A value as problems quote it: on one line, without secrets."""
    if key in _SECRET:
        return "(not shown)"
    text = value if isinstance(value, str) else ", ".join(value)
    without_password = re.sub(r"//[^/@,]*@", "//(not shown)@", quoted(text)[1:-1])
    return re.sub(r"(//[^,?]*\?)[^,]+", r"\1(not shown)", without_password)


def _plain(name: str) -> str:
    return quoted(name)[1:-1]
