"""contrib/prometheus and contrib/grafana: what they ask for is what the daemon says, and each alert
fires when it should.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from imagepipe.monitoring.counters import Counters
from imagepipe.monitoring.metrics import registry_of
from tests.support.repository import ROOT
from tests.support.sample_status import FULL

ALERTS = ROOT / "contrib/prometheus/alerts.yml"
DASHBOARD = ROOT / "contrib/grafana/imagepipe.json"

OF_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname", "alertstate"}}
LABELS_OF_A_SCRAPE = {"job", "instance"}

_WORDS = re.compile(r"\b(?:imagepipe|process)_\w+|\bALERTS\b|\bup\b")
_MATCHERS = re.compile(r"(\w+)\{([^}]*)\}")
_GROUPING = re.compile(r"by \(([^)]*)\)")


def expressions_of_alerts() -> dict[str, str]:
    """Each alert's name and expression."""
    return dict(re.findall(r"- alert: (\w+)\n(?: +#.*\n)* +expr: (.+)", ALERTS.read_text()))


def expressions_of_the_dashboard() -> Iterator[str]:
    """What its panels and its notes ask for."""
    board = json.loads(DASHBOARD.read_text())
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (note["expr"] for note in board["annotations"]["list"])
    yield from (
        variable["query"]["query"]
        for variable in board["templating"]["list"]
        if variable["type"] == "query"
    )


def exposed() -> dict[str, set[str]]:
    """The labels of everything that a node says which has everything there is."""
    counters = Counters(lambda: 0.0)
    page = generate_latest(registry_of(lambda: FULL, counters.durations)).decode()
    found: dict[str, set[str]] = dict(OF_PROMETHEUS)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found[sample.name] = set(sample.labels)
    return found


class ExpressionTests:
    """Names and labels."""

    @pytest.mark.parametrize(
        "expression", [*expressions_of_alerts().values(), *expressions_of_the_dashboard()]
    )
    def test_every_metric_and_label_is_one_that_the_daemon_has(self, expression: str) -> None:
        known = exposed()
        names = set(_WORDS.findall(re.sub(r'"[^"]*"', '""', expression)))
        assert names
        assert names <= known.keys()
        for name, matchers in _MATCHERS.findall(expression):
            assert (
                set(re.findall(r"(\w+)(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', matchers)))
                <= known[name] | LABELS_OF_A_SCRAPE
            )
        for labels in _GROUPING.findall(expression):
            assert set(labels.split(", ")) <= set().union(
                *(known[name] for name in names)
            ) | LABELS_OF_A_SCRAPE | {"alertname"}

    def test_each_panel_has_a_place_of_its_own(self) -> None:
        taken = [
            (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
            for panel in json.loads(DASHBOARD.read_text())["panels"]
            for x in range(panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["h"])
        ]
        assert len(taken) == len(set(taken))


class MetricsTests:
    """/metrics, as the tool of those who wrote the rules judges it."""

    def test_names_types_and_histograms_keep_the_rules_of_prometheus(self) -> None:
        counters = Counters(lambda: 0.0)
        page = generate_latest(registry_of(lambda: FULL, counters.durations))
        checked = subprocess.run(
            [_promtool(), "check", "metrics"],
            input=page,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        assert (checked.returncode, checked.stdout.decode()) == (0, "")


class AlertTests:
    """When they fire, and what to do then."""

    def test_each_fires_when_it_should_and_none_on_a_healthy_node(self) -> None:
        tested = subprocess.run(
            [_promtool(), "test", "rules", "alerts_test.yml"],
            cwd=ALERTS.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert tested.returncode == 0, tested.stdout + tested.stderr

    @pytest.mark.parametrize("name", expressions_of_alerts())
    def test_each_is_tested(self, name: str) -> None:
        assert f'alertname="{name}"' in (ALERTS.parent / "alerts_test.yml").read_text()

    def test_all_are_looked_at_here(self) -> None:
        assert len(expressions_of_alerts()) == ALERTS.read_text().count("- alert:")


def _promtool() -> str:
    unpacked = ROOT / ".cache/prometheus/usr/bin/promtool"
    found = shutil.which("promtool") or (str(unpacked) if unpacked.exists() else None)
    assert found, "promtool is not installed: sh scripts/setup.sh tools"
    return found
