"""The exposition, as Prometheus would read it."""

import re

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from imagepipe.core.rendering.formats import JPEG
from imagepipe.monitoring.counters import BOUNDS_SECONDS, Counters, Durations
from imagepipe.monitoring.metrics import registry_of
from imagepipe.monitoring.node_status import NodeStatus
from tests.support.sample_status import BARE, FULL

UNITS = ("seconds", "bytes")


def exposed(status: NodeStatus, durations: Durations | None = None) -> dict[str, float]:
    """{name and labels: value} of a scrape, as the parser reads it."""
    text = exposition(status, durations)
    return {
        f"{sample.name}{sample.labels or ''}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def exposition(status: NodeStatus, durations: Durations | None = None) -> str:
    """What a scrape gets."""
    taken = durations or Counters(lambda: 0.0).durations()
    return generate_latest(registry_of(lambda: status, lambda: taken)).decode()


class ExpositionTests:
    """What a scrape finds."""

    @pytest.mark.parametrize(
        ("sample", "value"),
        [
            ("imagepipe_build_info{'version': '0.1.0'}", 1),
            ("imagepipe_uptime_seconds", 93784.5),
            ("imagepipe_ready", 0),
            ("imagepipe_originals_being_downloaded", 1),
            ("imagepipe_engine_workers", 4),
            ("imagepipe_queue_running", 2),
            ("imagepipe_queue_waiting", 3),
            ("imagepipe_queue_stores_waiting", 1),
            ("imagepipe_queue_renditions_waiting", 2),
            ("imagepipe_queue_waiting_max", 64),
            ("imagepipe_image_requests_total{'format': 'jpg'}", 20),
            ("imagepipe_image_requests_failed_total", 4),
            ("imagepipe_originals_downloaded_total", 6),
            ("imagepipe_originals_unavailable_total", 1),
            ("imagepipe_images_stored_total", 100),
            ("imagepipe_images_deleted_total", 11),
            ("imagepipe_images_moved_total", 12),
            ("imagepipe_failures_total{'kind': 'DiskFull', 'operation': 'store'}", 2),
            ("imagepipe_http_requests_total{'method': 'GET', 'status': '200'}", 50),
            ("imagepipe_http_received_bytes_total", 5000),
            ("imagepipe_cache_max_bytes", 1 << 30),
            ("imagepipe_cache_hits_total", 75),
            ("imagepipe_disk_free_bytes", 25 << 30),
            ("imagepipe_disk_inodes", 1000),
            ("imagepipe_disk_free_inodes", 900),
            ("imagepipe_replication_unreplicated", 7),
            ("imagepipe_replication_pending", 3),
            ("imagepipe_replication_conflicts", 5),
            ("imagepipe_replication_upstream_connected{'peer': 'img-1'}", 1),
            ("imagepipe_replication_upstream_rows_behind{'peer': 'img-1'}", 12),
            ("imagepipe_replication_upstream_clock_ahead_seconds{'peer': 'img-1'}", -0.125),
            ("imagepipe_replication_upstream_rings_lost_total{'peer': 'img-1'}", 2),
            ("imagepipe_replication_subscriber_rows_behind{'peer': 'img-2'}", 7),
        ],
    )
    def test_every_number_of_the_status_has_its_name(self, sample: str, value: float) -> None:
        assert exposed(FULL)[sample] == value

    def test_what_does_not_run_is_not_there(self) -> None:
        assert not [name for name in exposed(BARE) if "cache" in name or "replication" in name]

    def test_a_peer_that_was_never_heard_has_no_time_of_it_whatever_its_name(self) -> None:
        found = exposed(FULL)
        peer = {"peer": 'tcp://10.0.0.3:8086"\\'}
        assert found[f"imagepipe_replication_upstream_connected{peer}"] == 0
        assert f"imagepipe_replication_upstream_heard_seconds{peer}" not in found
        assert f"imagepipe_replication_upstream_clock_ahead_seconds{peer}" not in found

    def test_a_class_of_a_histogram_has_those_below_it_in_it(self) -> None:
        counted = Counters(lambda: 0.0)
        for seconds in (0.0, 0.3, 0.3, 1000.0):
            counted.render(seconds, 1.0)
        found = exposed(BARE, counted.durations())
        classes = [
            found[f"imagepipe_render_wait_seconds_bucket{{'le': '{bound}'}}"]
            for bound in (*BOUNDS_SECONDS, "+Inf")
        ]
        assert classes == sorted(classes)
        assert (
            classes[0],
            classes[BOUNDS_SECONDS.index(0.25)],
            classes[BOUNDS_SECONDS.index(0.5)],
            classes[-1],
        ) == (1, 1, 3, 4)
        assert (
            found["imagepipe_render_wait_seconds_count"],
            found["imagepipe_render_wait_seconds_sum"],
        ) == (4, 1000.6)

    def test_each_scrape_reads_the_status_again(self) -> None:
        counted = Counters(lambda: 0.0)
        statuses = [FULL, BARE]
        registry = registry_of(statuses.pop, counted.durations)
        assert "imagepipe_ready 1.0" in generate_latest(registry).decode()
        counted.request("GET", 200, 0.1)
        counted.image_request(JPEG)
        second = generate_latest(registry).decode()
        assert "imagepipe_ready 0.0" in second
        assert "imagepipe_http_request_duration_seconds_count 1.0" in second

    def test_the_process_is_there_too(self) -> None:
        assert exposed(BARE)["process_resident_memory_bytes"] > 0


class NamingTests:
    """Prometheus' rules: a prefix, base units last, _total for what only grows."""

    def test_names_are_ours_and_units_come_last(self) -> None:
        for family in text_string_to_metric_families(exposition(FULL)):
            if not family.name.startswith("process_"):
                assert re.fullmatch(r"imagepipe(_[a-z]+)+", family.name)
            assert family.documentation.endswith(".")
            words = family.name.split("_")
            assert not {"milliseconds", "ms", "kib", "mib", "percent"} & set(words)
            assert not set(UNITS) & set(words[:-1])

    def test_what_only_grows_is_a_total_and_nothing_else_is(self) -> None:
        for family in text_string_to_metric_families(exposition(FULL)):
            for sample in family.samples:
                assert sample.name.endswith("_total") == (family.type == "counter")
