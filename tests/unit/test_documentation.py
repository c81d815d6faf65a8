"""Everything that users can see is documented, and has an anchor to link to: options, methods,
faults, statuses, metrics. tests/unit/cli/test_main.py does the same for commands.
"""

import inspect
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from configobj import ConfigObj
from prometheus_client import generate_latest
from twisted.web.http_headers import Headers

from imagepipe.cli.main import imagepipe
from imagepipe.config.spec import CONFIGSPEC
from imagepipe.core.paths import RESERVED_FIRST
from imagepipe.core.requests.call_arguments import parse_store
from imagepipe.errors import BadRequest, ImagepipeError
from imagepipe.monitoring.counters import Counters
from imagepipe.monitoring.graphite import event_counts, replication_values
from imagepipe.monitoring.metrics import registry_of
from imagepipe.web.http.cross_origin_guard import CrossOriginGuard
from imagepipe.web.http.refusal import refuse_encoded
from imagepipe.web.xmlrpc.admin_methods import AdminMethods
from imagepipe.web.xmlrpc.base64_images import decode_image
from imagepipe.web.xmlrpc.image_methods import ImageMethods
from tests.support.documents import anchors
from tests.support.repository import ROOT
from tests.support.sample_status import FULL, REPLICATION, TOTALS

README = (ROOT / "README.md").read_text()
CONFIGURATION = (ROOT / "docs/reference/configuration.md").read_text()
METHODS_PAGE = (ROOT / "docs/reference/methods.md").read_text()
HTTP_PAGE = (ROOT / "docs/reference/http.md").read_text()
STORE = (ROOT / "docs/guide/store.md").read_text()
METRICS = (ROOT / "docs/reference/metrics.md").read_text()
SPECIFICATION = ConfigObj(
    CONFIGSPEC.split("\n"), interpolation=False, list_values=False, _inspec=True
)
OPERATIONS = (ROOT / "docs/operations.md").read_text()
MIGRATION = (ROOT / "docs/guide/migrate.md").read_text()
METHODS = sorted(
    name.removeprefix("xmlrpc_") for name in dir(ImageMethods) if name.startswith("xmlrpc_")
)
ADMIN_METHODS = sorted(
    name.removeprefix("xmlrpc_") for name in dir(AdminMethods) if name.startswith("xmlrpc_")
)


def chapter(page: str, heading: str) -> str:
    """The part of a page below a heading."""
    found = re.search(
        rf"^## {re.escape(heading)}\n.*?(?=^## |\Z)", page, flags=re.MULTILINE | re.DOTALL
    )
    assert found, f"there is no heading {heading}"
    return found[0]


def defaults(check: str) -> str:
    """The default in a configspec's check, as a file would say it; empty for none."""
    [text] = re.findall(r"default=(list\(.*\)|\"[^\"]*\"|None)", check)
    return ", ".join(re.findall(r'"([^"]*)"', text))


class OptionTests:
    """Each option is explained where an operator looks for it."""

    @pytest.mark.parametrize(
        ("section", "option"),
        [
            (section, option)
            for section in SPECIFICATION.sections
            for option in SPECIFICATION[section].scalars
        ],
    )
    def test_the_reference_has_every_option_with_its_section_and_default(
        self, section: str, option: str
    ) -> None:
        below = [line for line in _table_of(section) if f"`{option}`" in line]
        assert below, f"[{section}] {option} is not in the reference"
        default = defaults(SPECIFICATION[section][option]).replace("0022", "18")
        assert any(default in line.replace("`", "") for line in below), (
            f"the reference does not say that [{section}] {option} is {default}"
        )
        assert f"{section}-{option}" in anchors(CONFIGURATION)

    @pytest.mark.parametrize("section", SPECIFICATION.sections)
    def test_the_distributed_file_has_every_section(self, section: str) -> None:
        assert f"\n[{section}]\n" in (ROOT / "imagepipe.ini.dist").read_text()

    def test_the_reference_says_what_the_child_of_imagemagick_gets(self) -> None:
        for name, check in SPECIFICATION["imagemagick"]["env"].items():
            if name != "__many__":
                assert f"`{name} = {defaults(check)}`" in CONFIGURATION


class MethodTests:
    """Each XML-RPC method has a heading with its arguments."""

    @pytest.mark.parametrize("name", METHODS)
    def test_the_reference_has_the_method_with_its_arguments_and_their_defaults(
        self, name: str
    ) -> None:
        assert _headings(name, METHODS_PAGE) == [_arguments(ImageMethods, name)]
        assert name in anchors(METHODS_PAGE)

    @pytest.mark.parametrize("name", ADMIN_METHODS)
    def test_the_reference_has_the_admin_method_with_its_arguments_and_their_defaults(
        self, name: str
    ) -> None:
        assert _headings(f"admin.{name}", METHODS_PAGE) == [_arguments(AdminMethods, name)]
        assert f"admin.{name}" in anchors(METHODS_PAGE)

    def test_the_reference_has_no_other_admin_method(self) -> None:
        assert (
            sorted(re.findall(r"^### admin\.(\w+)", METHODS_PAGE, flags=re.MULTILINE))
            == ADMIN_METHODS
        )

    def test_there_are_the_methods_of_the_first_imagepipe_and_ours(self) -> None:
        assert METHODS == ["delete_image", "image_info", "list_images", "move_image", "store_image"]

    @pytest.mark.parametrize("name", ["listMethods", "methodHelp", "methodSignature", "multicall"])
    def test_the_guide_names_introspection(self, name: str) -> None:
        assert f"`system.{name}`" in STORE


class FaultTests:
    """Each fault code is in the table of faults."""

    @pytest.mark.parametrize(
        "error", ImagepipeError.__subclasses__(), ids=lambda error: error.__name__
    )
    def test_the_reference_explains_every_fault(self, error: type[ImagepipeError]) -> None:
        assert re.search(
            rf"^\| {error.fault_code} \| `\[{error.fault_code}\]` \| .+ \|$",
            chapter(METHODS_PAGE, "Faults"),
            flags=re.MULTILINE,
        )
        assert f"fault-{error.fault_code}" in anchors(METHODS_PAGE)


class StatusTests:
    """Each status of the image server is in the table of its errors."""

    def test_the_reference_explains_every_status_that_an_error_can_have(self) -> None:
        rows = re.findall(
            r"^\| ([0-9, ]+) \| .+ \|$", chapter(HTTP_PAGE, "Errors"), flags=re.MULTILINE
        )
        documented = set(", ".join(rows).split(", "))
        assert {str(error.http_status) for error in _below(ImagepipeError)} <= documented
        assert {f"status-{status}" for status in documented} <= anchors(HTTP_PAGE)

    def test_the_reference_explains_the_statuses_of_refused_calls(self) -> None:
        rows = re.findall(r"^\| (\d{3}) \| .+ \|$", METHODS_PAGE, flags=re.MULTILINE)
        assert {f"status-{status}" for status in rows} <= anchors(METHODS_PAGE)


class MetricTests:
    """The page on metrics has every status page, metric and Graphite name, and no others."""

    def test_the_reference_has_every_page_and_no_other(self) -> None:
        pages = re.findall(r"^\| `/([\w.]+)` \|", METRICS, flags=re.MULTILINE)
        assert set(pages) == RESERVED_FIRST
        assert set(pages) <= anchors(METRICS)

    def test_the_reference_has_every_metric_with_its_type_and_no_other(self) -> None:
        rows = re.findall(
            r"^\| (`[^|]+`) \| ((?:gauge|counter|histogram|, )+) \|",
            chapter(METRICS, "Prometheus"),
            flags=re.MULTILINE,
        )
        documented = {
            name: types for names, types in rows for name in re.findall(r"`(\w+)`", names)
        }
        registry = registry_of(lambda: FULL, Counters(lambda: 0.0).durations)
        exposed = dict(
            re.findall(
                r"^# TYPE (\w+) (\w+)$", generate_latest(registry).decode(), flags=re.MULTILINE
            )
        )
        assert documented.keys() == exposed.keys()
        assert [name for name, type in exposed.items() if type not in documented[name]] == []
        assert documented.keys() <= anchors(METRICS)

    def test_the_reference_has_every_name_of_graphites(self) -> None:
        formats = {f"image_request.{each.format}" for each in TOTALS.image_requests}
        names = (
            (event_counts(TOTALS).keys() - formats)
            | {"image_request.<format>"}
            | replication_values(REPLICATION).keys()
        )
        assert [name for name in names if f"`{name}`" not in chapter(METRICS, "Graphite")] == []
        assert {name for name in names if "<" not in name} <= anchors(METRICS)


class OperationsTests:
    """Whatever alerts an operator is explained."""

    def test_every_alert_says_what_it_means_and_what_to_do_and_there_is_no_other(self) -> None:
        alerts = re.findall(
            r"^ +- alert: (\w+)$",
            (ROOT / "contrib/prometheus/alerts.yml").read_text(),
            flags=re.MULTILINE,
        )
        headings = re.findall(r"^### (Imagepipe\w+)\n\n\w", OPERATIONS, flags=re.MULTILINE)
        assert sorted(headings) == sorted(alerts)

    def test_every_kind_of_failure_that_alerts_has_its_advice(self) -> None:
        [kinds] = re.findall(
            r'kind=~"([^"]+)"', (ROOT / "contrib/prometheus/alerts.yml").read_text()
        )
        table = "\n".join(re.findall(r"^\| (`.+`) \|", OPERATIONS, flags=re.MULTILINE))
        assert [kind for kind in kinds.split("|") if f"`{kind}`" not in table] == []
        assert set(kinds.split("|")) <= {error.__name__ for error in _below(ImagepipeError)}

    def test_every_file_of_contrib_is_named(self) -> None:
        files = {path.relative_to(ROOT) for path in (ROOT / "contrib").rglob("*") if path.is_file()}
        assert [
            str(file)
            for file in files
            if str(file) not in OPERATIONS and str(file.parent) not in OPERATIONS
        ] == []


class MigrationTests:
    """What the guide for old clients says is refused is refused in these words."""

    def test_every_format_that_it_names_is_refused(self) -> None:
        [table] = re.findall(
            r"^### Formats\n.*?(?=^### )", MIGRATION, flags=re.MULTILINE | re.DOTALL
        )
        rows = [
            row.split(" | ")
            for row in re.findall(r"^\| `fmt` names .*$", table, flags=re.MULTILINE)
        ]
        names = re.findall(r"`(\w+)`", " ".join(examples for _, examples, _ in rows))
        assert len(names) > 30
        sentence = _refusal(fmt=names[0])
        assert f"`{sentence}`" in table
        assert [_refusal(fmt=name) for name in names] == [
            sentence.replace(names[0], name) for name in names
        ]

    @pytest.mark.parametrize(
        "call",
        [
            {"path": "a.bmp", "size": [5, 5]},
            {"size": [50.7, 50]},
            {"size": [0, 50]},
            {"size": [5, 5], "composite": 1, "crop": 1},
            {"size": [5, 5], "crop": "false"},
            {"size": [5, 5], "fmt": {"_x": "png"}},
            {"path": "a/../b.jpg"},
            {"path": "a/b.jpg/"},
        ],
    )
    def test_a_sentence_is_the_one_that_a_client_gets(self, call: dict[str, Any]) -> None:
        assert f"`{_refusal(**call)}`" in MIGRATION

    def test_so_are_those_that_need_no_call(self) -> None:
        assert (
            f"`{_why(lambda: decode_image(b'x' * 11, 10))}`".replace(
                "10 bytes", f"{32 << 20} bytes"
            )
            in MIGRATION
        )
        assert f"`{_why(lambda: decode_image('%', 10))}`" in MIGRATION
        encoded: Any = SimpleNamespace(requestHeaders=Headers({b"content-encoding": [b"gzip"]}))
        form: Any = SimpleNamespace(
            requestHeaders=Headers({b"content-type": [b"application/x-www-form-urlencoded"]}),
            method=b"POST",
            uri=b"/",
        )
        for denied in (refuse_encoded(encoded), CrossOriginGuard(None).admit_call(form)):
            assert denied
            assert f"| {denied.status} | `{denied.why}` |" in MIGRATION


class CommandTests:
    """The commands of the guide and of README.md are those that exist."""

    def test_the_guide_names_every_command_and_no_other(self) -> None:
        text = (ROOT / "docs/guide/command-line.md").read_text()
        named = set(re.findall(r"(?:`|^\$ )imagepipe ([a-z][a-z-]*)", text, flags=re.MULTILINE))
        assert named == set(imagepipe.commands)

    def test_every_make_command_that_readme_names_is_in_the_makefile(self) -> None:
        targets = set(
            re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        )
        named = set(
            re.findall(
                r"\bmake ([a-z]+)\b",
                "\n".join(
                    re.findall(r"`[^`\n]+`|^(?:\$ |    )make .*$", README, flags=re.MULTILINE)
                ),
            )
        )
        assert named <= targets
        assert {"run", "test", "check"} <= named


class CitationTests:
    """A docstring that names a document names one that exists, with a heading that it has."""

    @pytest.mark.parametrize("folder", ["imagepipe", "tests", "benchmarks", "scripts"])
    def test_every_document_that_the_code_names_is_there(self, folder: str) -> None:
        missing = []
        for file in (ROOT / folder).rglob("*.py"):
            for path, quoted in re.findall(
                r'\b(docs/[\w/.-]+\.md)(?:,\s+"([^"]+)")?', file.read_text()
            ):
                heading = " ".join(re.sub(r"\n *#?", " ", quoted).split())  # it may be wrapped
                document = ROOT / path
                if not document.exists() or (
                    heading
                    and not re.search(
                        rf"^#+ {re.escape(heading)}$", document.read_text(), re.MULTILINE
                    )
                ):
                    missing.append(f"{file.relative_to(ROOT)}: {path} {heading}")
        assert missing == []


def _refusal(
    path: str = "a.jpg",
    fmt: object = None,
    size: object = None,
    composite: object = 0,
    crop: object = 0,
) -> str:
    """Why a call of store_image is refused."""
    return _why(lambda: parse_store(path, fmt, size, composite, crop, size_max=8192))


def _why(call: Callable[[], object]) -> str:
    with pytest.raises(BadRequest) as caught:
        call()
    return str(caught.value)


def _headings(method: str, text: str) -> list[str]:
    """The arguments in each of the method's headings."""
    return re.findall(rf"^##+ {re.escape(method)}\((.*)\)$", text, flags=re.MULTILINE)


def _arguments(methods: type, name: str) -> str:
    """The arguments of a method as a heading has them."""
    parameters = list(inspect.signature(getattr(methods, f"xmlrpc_{name}")).parameters.values())[2:]
    return ", ".join(
        each.name if each.default is each.empty else f"{each.name}={each.default!r}"
        for each in parameters
    )


def _table_of(section: str) -> list[str]:
    """The lines below the heading of a section."""
    headed = re.search(
        rf"^## `\[{section}\]`.*?(?=^## |\Z)", CONFIGURATION, flags=re.MULTILINE | re.DOTALL
    )
    assert headed, f"docs/reference/configuration.md says nothing of [{section}]"
    return headed[0].splitlines()


def _below(error: type[ImagepipeError]) -> set[type[ImagepipeError]]:
    return {error}.union(*map(_below, error.__subclasses__()))
