"""The status as metrics for Prometheus, created for each scrape: nothing is counted here.

    imagepipe_*   of the node, from NodeStatus and Durations
    process_*     of the process, from /proc, by prometheus_client

The registry is our own and not prometheus_client's global one, because two nodes may live in one
process, as in tests. docs/reference/metrics.md lists all names.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from imagepipe.core.node_names import labels as labels_of
from imagepipe.monitoring.counters import BOUNDS_SECONDS, Distribution, Durations, Totals
from imagepipe.monitoring.disk_space import DiskStatus
from imagepipe.monitoring.node_status import CacheStatus, NodeStatus, QueueStatus
from imagepipe.replication.status import ReplicationStatus, SubscriberStatus, UpstreamStatus


def registry_of(
    status: Callable[[], NodeStatus], durations: Callable[[], Durations]
) -> CollectorRegistry:
    """A registry with the metrics of the node and the process at the time of the scrape."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(status, durations))
    ProcessCollector(registry=registry)
    return registry


class NodeCollector(Collector):
    """Reads the status at each scrape, and names its numbers."""

    def __init__(
        self, status: Callable[[], NodeStatus], durations: Callable[[], Durations]
    ) -> None:
        self._status = status
        self._durations = durations

    def collect(self) -> Iterator[Metric]:
        """All metrics of the node."""
        status = self._status()
        yield from _of_node(status)
        yield from _of_queue(status.queue)
        yield from _of_totals(status.totals)
        yield from _of_durations(self._durations())
        yield from _of_disk(status.disk)
        if status.cache:
            yield from _of_cache(status.cache)
        if status.replication:
            yield from _of_replication(status.replication)
            yield from _of_upstreams(status.replication.upstreams)
            yield from _of_subscribers(status.replication.subscribers)


def _of_node(status: NodeStatus) -> Iterator[Metric]:
    yield InfoMetricFamily("imagepipe_build", "The running version.", {"version": status.version})
    yield _gauge("uptime_seconds", "Seconds since the start.", status.uptime_seconds)
    yield _gauge("ready", "1 while the node accepts writes, else 0.", status.ready)
    yield _gauge(
        "originals_being_downloaded",
        "Originals that are being fetched.",
        status.originals_being_downloaded,
    )
    yield _gauge("engine_workers", "Worker processes of the engine.", status.engine_workers)
    ahead = status.ahead
    yield _gauge(
        "images_dated_ahead",
        "Images dated more than an hour ahead of this node's clock (at most 1000 are counted).",
        ahead.images if ahead else 0,
    )
    yield _gauge(
        "images_dated_ahead_seconds",
        "How far ahead the newest of these images is dated.",
        ahead.seconds if ahead else 0,
    )


def _of_queue(queue: QueueStatus) -> Iterator[Metric]:
    yield _gauge("queue_running", "Images being processed.", queue.running)
    yield _gauge(
        "queue_running_max",
        "How many images can be processed at once (io_threads).",
        queue.running_max,
    )
    yield _gauge("queue_waiting", "Jobs waiting in the queue.", queue.waiting)
    yield _gauge("queue_stores_waiting", "Stores waiting in the queue.", queue.stores.waiting)
    yield _gauge(
        "queue_renditions_waiting", "Renditions waiting in the queue.", queue.renditions.waiting
    )
    yield _gauge(
        "queue_waiting_max",
        "How many stores, and how many renditions, can wait (queue).",
        queue.waiting_max,
    )


def _of_totals(totals: Totals) -> Iterator[Metric]:
    rendered = [((each.format,), each.count) for each in totals.image_requests]
    failed = [((each.operation, each.kind), each.count) for each in totals.failures]
    answered = [((each.method, str(each.status)), each.count) for each in totals.requests]
    yield _counters(
        "image_requests",
        "Renditions that were not cached and were rendered.",
        ("format",),
        rendered,
    )
    yield _counter(
        "image_requests_failed",
        "GETs of an image that could not be answered with one.",
        totals.image_requests_failed,
    )
    yield _counter(
        "originals_downloaded",
        "Originals fetched from their sources.",
        totals.originals_downloaded,
    )
    yield _counter(
        "originals_unavailable",
        "Originals that were not available at their sources.",
        totals.originals_unavailable,
    )
    yield _counter("images_stored", "Images stored by calls to this node.", totals.images_stored)
    yield _counter("images_deleted", "Paths deleted by calls to this node.", totals.images_deleted)
    yield _counter("images_moved", "Images moved by calls to this node.", totals.images_moved)
    yield _counters("failures", "Failed calls.", ("operation", "kind"), failed)
    yield _counters(
        "http_requests",
        "Requests answered on both ports.",
        ("method", "status"),
        answered,
    )
    yield _counter(
        "http_received_bytes", "Bytes received in bodies of requests.", totals.received_bytes
    )
    yield _counter("http_sent_bytes", "Bytes sent in bodies of answers.", totals.sent_bytes)


def _of_durations(durations: Durations) -> Iterator[Metric]:
    yield _histogram(
        "http_request_duration_seconds",
        "Time from the first line of a request to the end of its answer.",
        durations.requests,
    )
    yield _histogram(
        "render_wait_seconds", "How long jobs waited for a thread.", durations.render_waits
    )
    yield _histogram("render_duration_seconds", "How long jobs ran.", durations.render_runs)


def _of_disk(disk: DiskStatus) -> Iterator[Metric]:
    yield _gauge("disk_size_bytes", "Size of the file system of images.path.", disk.total_bytes)
    yield _gauge("disk_free_bytes", "Free bytes of the file system.", disk.free_bytes)
    yield _gauge(
        "disk_inodes",
        "Inodes of the file system; 0 if it creates them as needed.",
        disk.total_inodes,
    )
    yield _gauge("disk_free_inodes", "Free inodes of the file system.", disk.free_inodes)
    yield _gauge("disk_age_seconds", "How long ago the disk was checked.", disk.age_seconds)


def _of_cache(cache: CacheStatus) -> Iterator[Metric]:
    yield _gauge("cache_bytes", "Size of the render cache.", cache.bytes)
    yield _gauge("cache_max_bytes", "Limit of the render cache (cache_size).", cache.bytes_max)
    yield _gauge("cache_files", "Renditions in the render cache.", cache.files)
    yield _counter("cache_hits", "Renditions found in the render cache.", cache.hits)
    yield _counter("cache_misses", "Renditions that had to be rendered.", cache.misses)
    yield _counter(
        "cache_evictions", "Renditions removed from the render cache to make room.", cache.evictions
    )


def _of_replication(replication: ReplicationStatus) -> Iterator[Metric]:
    yield _gauge(
        "replication_seq", "Sequence number of this node's newest change.", replication.seq
    )
    yield _gauge(
        "replication_unreplicated", "Changes that are on no other disk.", replication.unreplicated
    )
    yield _gauge(
        "replication_pending", "Changes of peers that wait for their bytes.", replication.pending
    )
    yield _gauge(
        "replication_pending_seconds",
        "How long there have been changes that wait for their bytes.",
        replication.pending_seconds,
    )
    yield _gauge(
        "replication_conflicts",
        "Images in the history that lost a conflict.",
        replication.conflicts,
    )
    yield _counter(
        "replication_dropped_messages",
        "Messages of subscribers dropped because there were too many.",
        replication.dropped_messages,
    )
    yield _counter(
        "replication_bad_messages",
        "Malformed messages received from peers.",
        replication.bad_messages,
    )


def _of_upstreams(upstreams: Iterable[UpstreamStatus]) -> Iterator[Metric]:
    peers = tuple(upstreams)
    names = labels_of((peer.peer, peer.name) for peer in peers)

    def each(name: str, says: str, of: Callable[[UpstreamStatus], float | None]) -> Metric:
        values = [((label,), of(peer)) for label, peer in zip(names, peers, strict=True)]
        return _gauges(f"replication_upstream_{name}", says, ("peer",), values)

    yield each(
        "connected",
        "1 while the peer is heard from and can be pulled from, else 0.",
        lambda peer: peer.connected,
    )
    yield each(
        "heard_seconds",
        "How long ago the peer was last heard from; missing until it is.",
        lambda peer: peer.heard_seconds,
    )
    yield each(
        "rows_behind",
        "Changes of the peer that are not here (an upper bound).",
        lambda peer: peer.rows_behind,
    )
    yield each(
        "missing_bytes",
        "Bytes of these changes that are being fetched.",
        lambda peer: peer.bytes_behind,
    )
    yield each(
        "behind_seconds",
        "How long the peer has had changes that are not here.",
        lambda peer: peer.seconds_behind,
    )
    yield each(
        "clock_ahead_seconds",
        "The peer's clock minus this node's.",
        lambda peer: peer.clock_ahead_seconds,
    )
    rings_lost = [((label,), peer.rings_lost) for label, peer in zip(names, peers, strict=True)]
    yield _counters(
        "replication_upstream_rings_lost",
        "Change notifications from the peer that were missed.",
        ("peer",),
        rings_lost,
    )


def _of_subscribers(subscribers: Iterable[SubscriberStatus]) -> Iterator[Metric]:
    peers = tuple(subscribers)
    names = labels_of((peer.peer, peer.key or peer.node) for peer in peers)

    def each(name: str, says: str, of: Callable[[SubscriberStatus], float]) -> Metric:
        values = [((label,), of(peer)) for label, peer in zip(names, peers, strict=True)]
        return _gauges(f"replication_subscriber_{name}", says, ("peer",), values)

    yield each(
        "acknowledged_seq",
        "Everything up to this sequence number is on the peer's disk.",
        lambda peer: peer.acked,
    )
    yield each("rows_behind", "Changes that are not on the peer's disk.", lambda peer: peer.behind)
    yield each(
        "heard_seconds",
        "How long ago the peer last sent a request.",
        lambda peer: peer.heard_seconds,
    )


Labelled = Iterable[tuple[tuple[str, ...], float | None]]
"""Values with the values of their labels; None: there is no value now."""


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(f"imagepipe_{name}", says, value=value)


def _counter(name: str, says: str, value: float) -> Metric:
    return CounterMetricFamily(f"imagepipe_{name}", says, value=value)


def _gauges(name: str, says: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    return _filled(GaugeMetricFamily(f"imagepipe_{name}", says, labels=labels), values)


def _counters(name: str, says: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    return _filled(CounterMetricFamily(f"imagepipe_{name}", says, labels=labels), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Labelled) -> Metric:
    for labels, value in values:
        if value is not None:
            family.add_metric(labels, value)
    return family


def _histogram(name: str, says: str, durations: Distribution) -> Metric:
    """Prometheus counts in each bucket the contents of all lower buckets too."""
    bounds = [*map(str, BOUNDS_SECONDS), "+Inf"]
    up_to = map(float, accumulate(durations.counts))
    return HistogramMetricFamily(
        f"imagepipe_{name}",
        says,
        buckets=list(zip(bounds, up_to, strict=True)),
        sum_value=durations.sum_seconds,
    )
