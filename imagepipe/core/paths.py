"""Which paths an image may have, and the path that a suffix and a format make of one
(docs/design/contract.md, "Paths").

    clean("/a//./b.jpg")                              -> "a/b.jpg"
    output_path("a/b.jpg", "_s", extension="png")     -> "a/b_s.png"

A path that `clean` returned is legal: cleaning it again changes nothing. The rules keep the served
tree safe for any static server: no escape from it, nothing hidden, nothing that a server would run
or a browser would render as a page.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from imagepipe.core.rendering import formats
from imagepipe.errors import BadRequest, quoted

COMPONENT_BYTES_MAX = 255
PATH_BYTES_MAX = 1024

RESERVED_FIRST = frozenset({"status", "status.json", "healthz", "readyz", "metrics"})
"""First components that the HTTP server answers itself."""

RESERVED_LAST = frozenset({"info.json"})
"""Last components that the HTTP server answers itself."""

_HANDLED = frozenset(
    "php phps pht phtm phtml phar hphp ctp asp aspx jsp jspx cgi fcgi fpl pl py rb lua tcl sh shtml"
    " shtm stm".split()
)
"""Extensions that servers are commonly told to run files by, wherever in a name they stand."""

_SHOWN_OR_RUN = frozenset(
    "htm html xhtml xht mht mhtml hta htc htaccess xml xsl xslt xsd rss atom rdf svg svgz css js"
    " mjs cjs vbs wasm swf jar pdf eml inc module asa asax ascx ashx asmx cer cdx axd jsw jsv jspf"
    " jhtml do action cfm cfml cfc pm pyc pyo pyw pyz rhtml erb bash csh ksh zsh bat cmd com exe"
    " dll ps1 so".split()
)
"""Extensions that make a page or a program of a file if no server knows a later one of its name."""

_PLAIN = re.compile(
    r"/?(C(?:/C)*)".replace("C", r"[\x20-\x2d\x30-\x7e][\x20-\x2e\x30-\x7e]{0,254}")
)
"""Printable ASCII, whose components are neither empty nor too long nor begin with a dot: clean
already, but for a slash before it.
"""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

XML_FORBIDDEN = re.compile("[\ufffe\uffff]")
"""The characters, besides control characters and lone surrogates, that XML 1.0 cannot carry, not
even as a reference.

XML-RPC could neither list nor delete an image with one of them in its path.
"""


def clean(path: str, argument: str = "path") -> str:
    """The legal form of `path`: NFC, without leading and doubled slashes and `.` components.

    Raises BadRequest, naming `argument`, if no legal path can be made of it.
    """
    plain = _PLAIN.fullmatch(path) if len(path) <= PATH_BYTES_MAX else None
    if plain:
        cleaned: str = plain[1]
        return _allowed(cleaned, cleaned.split("/"), argument)
    if len(path) > 4 * PATH_BYTES_MAX:  # before anything is done that takes longer for a longer one
        raise BadRequest(argument, f"is longer than {PATH_BYTES_MAX} bytes")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise BadRequest(argument, f"is not valid Unicode: {quoted(path)}") from None
    normal = unicodedata.normalize("NFC", path)
    components = [component for component in normal.split("/") if component not in ("", ".")]
    if not components:
        raise BadRequest(argument, f"is empty: {quoted(path)}")
    if normal.endswith(("/", "/.")):
        raise BadRequest(argument, f"names a folder, not an image: {quoted(path)}")
    for component in components:
        _check_component(component, argument)
    cleaned = "/".join(components)
    if len(cleaned.encode()) > PATH_BYTES_MAX:
        raise BadRequest(argument, f"is longer than {PATH_BYTES_MAX} bytes: {quoted(cleaned)}")
    return _allowed(cleaned, components, argument)


def output_path(
    path: str, suffix: str = "", extension: str | None = None, argument: str = "size"
) -> str:
    """The clean path of one output: `suffix` goes before the extension, `extension` replaces it (or
    adds one).

    Raises BadRequest, naming `argument`, if the suffix or the path that results is not legal.
    """
    if len(suffix) > PATH_BYTES_MAX:
        raise BadRequest(argument, f"a suffix is longer than {PATH_BYTES_MAX} bytes")
    if "/" in suffix:
        raise BadRequest(argument, f"a suffix may not contain a slash: {quoted(suffix)}")
    if has_control(suffix):
        raise BadRequest(
            argument, f"a suffix may not contain a control character: {quoted(suffix)}"
        )
    stem, old_extension = split_extension(path)
    new_extension = old_extension if extension is None else "." + extension
    return clean(stem + suffix + new_extension, argument)


def split_extension(path: str) -> tuple[str, str]:
    """`path` as (stem, extension with its dot); the extension is empty where the last component has
    no dot.
    """
    dot = path.rfind(".")
    if dot <= path.rfind("/") + 1:
        return path, ""
    return path[:dot], path[dot:]


def ancestors(path: str) -> Iterator[str]:
    """The folders above a clean path, nearest first: "a/b/c" -> "a/b", "a"."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def has_control(text: str) -> bool:
    """Whether `text` has a control character (Unicode category Cc: C0, DEL and C1)."""
    return _CONTROL.search(text) is not None


def _allowed(cleaned: str, components: Sequence[str], argument: str) -> str:
    """A path whose components are each legal, if what they say together is too."""
    if components[0] in RESERVED_FIRST or components[-1] in RESERVED_LAST:
        raise BadRequest(argument, f"is reserved for the server's own pages: {quoted(cleaned)}")
    _check_extensions(components[-1], argument)
    return cleaned


def _check_component(component: str, argument: str) -> None:
    if component == "..":
        raise BadRequest(argument, "may not contain '..'")
    if component.startswith("."):
        raise BadRequest(argument, f"no component may begin with a dot: {quoted(component)}")
    if has_control(component):
        raise BadRequest(argument, f"may not contain a control character: {quoted(component)}")
    if XML_FORBIDDEN.search(component):
        raise BadRequest(
            argument,
            f"may not contain U+FFFE or U+FFFF, which XML cannot carry: {quoted(component)}",
        )
    if len(component.encode()) > COMPONENT_BYTES_MAX:
        raise BadRequest(
            argument, f"a component is longer than {COMPONENT_BYTES_MAX} bytes: {quoted(component)}"
        )


def _check_extensions(name: str, argument: str) -> None:
    # Apache's mod_mime looks at every extension of a name: x.php.jpg would run as PHP, x.html.bak
    # would be a page, x.html.jpg is a picture.
    stem, dot, last = name.rpartition(".")
    if not dot or ("." not in stem and formats.by_extension(last)):
        return  # as most are
    extensions = [extension.strip().lower() for extension in name.split(".")[1:]]
    while extensions and not extensions[-1]:
        extensions.pop()
    ends_as_image = bool(extensions) and formats.by_extension(extensions[-1]) is not None
    for extension in extensions:
        if (
            extension in _HANDLED
            or extension.rstrip("0123456789") in ("php", "phtml", "pht")
            or (extension in _SHOWN_OR_RUN and not ends_as_image)
        ):
            raise BadRequest(
                argument,
                f"a web server could run a file with the extension {quoted(extension)}, or show it"
                " as a page",
            )
