"""The arguments of a call -> what is asked for, checked (docs/design/contract.md, "XML-RPC"). Those
of store_image:

    size=[500, 500]                                  one output
    size={"": [500, 500], "_small": ["50", "50"]}    one output a suffix
    fmt, composite, crop                             one value for all, or {suffix: value}; missing
                                                     there means the default

Every rule that needs nothing but the arguments is here. What also needs the source (its format, its
size) is in `plan`.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imagepipe.core import paths
from imagepipe.core.path_escaping import stored_path, unescaped
from imagepipe.core.rendering import formats
from imagepipe.core.rendering.formats import Format
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import Method, OutputRequest
from imagepipe.core.requests.argument_types import (
    is_given,
    optional_text,
    parse_limit,
    parse_text,
    parse_truth,
    whole_number,
)
from imagepipe.errors import BadRequest, quoted

OUTPUTS_MAX = 256
"""Outputs of one call, at most."""

COMPONENTS_MAX = 100_000
"""Components of all paths of one call together, at most: each may be a folder to look at."""

PREFIX_LENGTH_MAX = 4096
"""Characters of a prefix that are looked at: no path has as many."""


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A store: the source is rendered to `outputs`, or, without any, kept byte for byte at
    `path`.
    """

    path: str
    outputs: tuple[OutputRequest, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that the store writes."""
        return tuple(output.path for output in self.outputs) or (self.path,)


def parse_store(
    path: object, fmt: object, size: object, composite: object, crop: object, size_max: int
) -> StoreRequest:
    """What a call of store_image asks for; `size_max` bounds each side of a box, in pixels.

    Raises BadRequest, naming the argument that is wrong.
    """
    cleaned = parse_path(path)
    sizes = _parse_sizes(size, size_max)
    suffixes = tuple(sizes) if sizes else ("",)
    format_of = {
        suffix: _parse_format(value) for suffix, value in _per_suffix("fmt", fmt, suffixes).items()
    }
    composite_of = {
        suffix: parse_truth(value, "composite")
        for suffix, value in _per_suffix("composite", composite, suffixes).items()
    }
    crop_of = {
        suffix: parse_truth(value, "crop")
        for suffix, value in _per_suffix("crop", crop, suffixes).items()
    }
    for argument, flags in (("composite", composite_of), ("crop", crop_of)):
        if not sizes and any(flags.values()):
            raise BadRequest(argument, "needs a size")
    if not sizes and format_of.get("") is None:
        return StoreRequest(cleaned, ())

    outputs: dict[str, OutputRequest] = {}
    for suffix in suffixes:
        extension = format_of.get(suffix)
        if composite_of.get(suffix) and crop_of.get(suffix):
            raise BadRequest("composite", f"cannot go together with crop{_of(suffix)}")
        method = (
            Method.COMPOSITE
            if composite_of.get(suffix)
            else Method.CROP
            if crop_of.get(suffix)
            else Method.RESIZE
        )
        target = paths.output_path(cleaned, suffix, extension)
        if target in outputs:
            raise BadRequest("size", f"two outputs would have the path {quoted(target)}")
        outputs[target] = OutputRequest(target, sizes.get(suffix), _format_of(target), method)
    _check_components("size", tuple(outputs))
    return StoreRequest(cleaned, tuple(outputs.values()))


def parse_path(value: object, argument: str = "path") -> str:
    """A clean path, from what a client sent as one."""
    return paths.clean(parse_text(value, argument), argument)


def parse_stored_path(value: object, argument: str = "path") -> str:
    """The path of an image that may be stored already, which may be in the form of `escaping`."""
    return stored_path(parse_text(value, argument), argument)


def parse_paths(
    value: object,
    argument: str = "path",
    count_max: int = 10_000,
    parse: Callable[[object, str], str] = parse_stored_path,
) -> tuple[str, ...]:
    """Paths, from one path or a list of at most `count_max`; `parse` makes a path of each."""
    if not isinstance(value, list | tuple):
        return (parse(value, argument),)
    if len(value) > count_max:
        raise BadRequest(
            argument, f"lists {len(value)} paths; at most {count_max} go into one call"
        )
    cleaned = tuple(parse(item, argument) for item in value)
    _check_components(argument, cleaned)
    return cleaned


def parse_names(value: object, argument: str = "outputs") -> tuple[str, ...]:
    """Names of renditions, from one or a list of them; what they are is looked at later. Raises
    BadRequest.
    """
    names = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not names:
        raise BadRequest(argument, "names no rendition")
    if len(names) > OUTPUTS_MAX:
        raise BadRequest(
            argument, f"names {len(names)} renditions; at most {OUTPUTS_MAX} go into one call"
        )
    return tuple(parse_text(name, argument) for name in names)


def parse_moves(src_path: object, dst_path: object) -> tuple[tuple[str, str], ...]:
    """(source, destination) pairs, from two paths or two lists of equal length; a path counts as a
    list of one.
    """
    sources = parse_paths(src_path, "src_path")
    destinations = parse_paths(dst_path, "dst_path", parse=parse_path)
    if len(sources) != len(destinations):
        raise BadRequest("dst_path", f"lists {len(destinations)} paths, src_path {len(sources)}")
    return tuple(zip(sources, destinations, strict=True))


def _check_components(argument: str, cleaned: tuple[str, ...]) -> None:
    count = sum(path.count("/") + 1 for path in cleaned)
    if count > COMPONENTS_MAX:
        raise BadRequest(
            argument,
            f"the paths have {count} components together; at most {COMPONENTS_MAX} go into one"
            " call",
        )


@dataclass(frozen=True, slots=True)
class ListPage:
    """Which stored paths are asked for: `limit` at most of those that begin with `prefix` and are
    greater than `after`.
    """

    prefix: str
    after: str
    limit: int


def parse_page(prefix: object, after: object, limit: object, limit_max: int = 100_000) -> ListPage:
    """The arguments of list_images; prefix and after are brought to the form of stored paths."""
    return ListPage(
        _parse_start("prefix", prefix), _parse_start("after", after), parse_limit(limit, limit_max)
    )


def _parse_start(argument: str, value: object) -> str:
    text = unicodedata.normalize("NFC", optional_text(value, argument)[:PREFIX_LENGTH_MAX]).lstrip(
        "/"
    )
    return unescaped(text) or text


def _parse_sizes(size: object, size_max: int) -> dict[str, Size]:
    """{suffix: box}; empty when no size is given."""
    if not is_given(size):
        return {}
    if not isinstance(size, dict):
        return {"": _parse_size(size, size_max, "")}
    if len(size) > OUTPUTS_MAX:
        raise BadRequest(
            "size", f"names {len(size)} outputs; at most {OUTPUTS_MAX} go into one call"
        )
    _check_suffixes("size", size)
    return {suffix: _parse_size(value, size_max, suffix) for suffix, value in size.items()}


def _parse_size(value: object, size_max: int, suffix: str) -> Size:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise BadRequest("size", f"is not [width, height]{_of(suffix)}")
    return Size(_parse_side(value[0], size_max, suffix), _parse_side(value[1], size_max, suffix))


def _parse_side(value: object, size_max: int, suffix: str) -> int:
    side = whole_number(value)
    if side is None:
        raise BadRequest("size", f"a side is not a whole number{_of(suffix)}")
    if not 1 <= side <= size_max:
        raise BadRequest(
            "size", f"a side is not within 1 to {size_max} pixels (max_size){_of(suffix)}"
        )
    return side


def _per_suffix(argument: str, value: object, suffixes: tuple[str, ...]) -> dict[str, object]:
    """{suffix: value} of an argument that may be one value for all suffixes."""
    if not isinstance(value, dict):
        return dict.fromkeys(suffixes, value)
    _check_suffixes(argument, value)
    for suffix in value:
        if suffix not in suffixes:
            raise BadRequest(argument, f"has the suffix {quoted(suffix)}, which size lacks")
    return value


def _check_suffixes(argument: str, struct: dict[Any, object]) -> None:
    # An XML-RPC parser may let other names than strings through.
    if not all(isinstance(suffix, str) for suffix in struct):
        raise BadRequest(argument, "has a suffix that is not a string")


def _parse_format(value: object) -> str | None:
    """An extension to render to, lower case."""
    if not is_given(value):
        return None
    text = parse_text(value, "fmt")
    extension = text.lower()
    if extension not in formats.RENDERED_EXTENSIONS:
        raise BadRequest(
            "fmt", f"{quoted(text)} is not one of {', '.join(formats.RENDERED_EXTENSIONS)}"
        )
    return extension


def _format_of(path: str) -> Format | None:
    """The format that a path's extension asks for; None where there is none, or none that
    we know.
    """
    format = formats.by_extension(paths.split_extension(path)[1])
    if format and not format.renders:
        raise BadRequest(
            "fmt",
            f"{quoted(path)} asks for {format}, which is not written: name one of"
            f" {', '.join(formats.RENDERED_EXTENSIONS)}",
        )
    return format


def _of(suffix: str) -> str:
    return f" (suffix {quoted(suffix)})" if suffix else ""
