"""Events counted: values in, values out."""

import pytest

from imagepipe.core.rendering.formats import AVIF, GIF, JPEG, PNG, WEBP, Format
from imagepipe.errors import BadRequest, DiskFull, InternalError, NotStored, Overloaded
from imagepipe.monitoring.counters import (
    BOUNDS_SECONDS,
    ERROR_LENGTH_MAX,
    ERRORS_KEPT,
    Counters,
    Distribution,
    FailureCount,
    LoggedError,
    RenderCount,
    RequestCount,
    note_failure,
)


def counters() -> Counters:
    """Those of a node that started at the turn of the year 2026."""
    return Counters(lambda: 1767225600.9)


class TotalsTests:
    """What is counted, once each."""

    def test_at_first_nothing_has_happened(self) -> None:
        totals = counters().totals()
        assert (totals.image_requests, totals.failures, totals.requests) == ((), (), ())
        assert (
            totals.images_stored,
            totals.images_deleted,
            totals.images_moved,
            totals.received_bytes,
            totals.sent_bytes,
        ) == (0, 0, 0, 0, 0)
        assert (
            totals.image_requests_failed,
            totals.originals_downloaded,
            totals.originals_unavailable,
        ) == (0, 0, 0)

    @pytest.mark.parametrize(
        ("format", "name"),
        [(JPEG, "jpg"), (GIF, "gif"), (WEBP, "webp"), (PNG, "png"), (AVIF, "avif")],
    )
    def test_a_rendition_counts_by_the_extension_of_its_format(
        self, format: Format, name: str
    ) -> None:
        counted = counters()
        counted.image_request(format)
        counted.image_request(format)
        assert counted.totals().image_requests == (RenderCount(name, 2),)

    def test_images_count_and_not_the_calls(self) -> None:
        counted = counters()
        counted.stored(3)
        counted.stored(1)
        counted.deleted(2)
        counted.moved(5)
        totals = counted.totals()
        assert (totals.images_stored, totals.images_deleted, totals.images_moved) == (4, 2, 5)

    def test_originals_and_what_got_no_image(self) -> None:
        counted = counters()
        counted.original_downloaded()
        for _ in range(2):
            counted.original_unavailable()
        for _ in range(3):
            counted.image_request_fail()
        totals = counted.totals()
        assert (
            totals.originals_downloaded,
            totals.originals_unavailable,
            totals.image_requests_failed,
        ) == (1, 2, 3)

    def test_failures_count_by_operation_and_kind(self) -> None:
        counted = counters()
        for operation, kind in [
            ("store", "DiskFull"),
            ("delete", "TooFewPeers"),
            ("store", "DiskFull"),
        ]:
            counted.failed(operation, kind)
        assert counted.totals().failures == (
            FailureCount("delete", "TooFewPeers", 1),
            FailureCount("store", "DiskFull", 2),
        )

    def test_requests_count_by_method_and_status_and_their_bytes_in_all(self) -> None:
        counted = counters()
        counted.request("GET", 200, 0.1, 0, 1000)
        counted.request("GET", 404, 0.1, 0, 20)
        counted.request("POST", 200, 0.1, 5000, 30)
        totals = counted.totals()
        assert totals.requests == (
            RequestCount("GET", 200, 1),
            RequestCount("GET", 404, 1),
            RequestCount("POST", 200, 1),
        )
        assert (totals.received_bytes, totals.sent_bytes) == (5000, 1050)

    def test_methods_that_a_client_makes_up_are_one(self) -> None:
        counted = counters()
        for at in range(1000):
            counted.request(f"X{at}", 405, 0.0)
        assert counted.totals().requests == (RequestCount("OTHER", 405, 1000),)

    def test_what_was_taken_does_not_change(self) -> None:
        counted = counters()
        before, durations = counted.totals(), counted.durations()
        counted.stored(1)
        counted.render(1, 1)
        assert before.images_stored == 0
        assert sum(durations.render_runs.counts) == 0


class DurationsTests:
    """In which class a duration is."""

    @pytest.mark.parametrize(
        ("seconds", "at"),
        [
            (0.0, 0),
            (BOUNDS_SECONDS[0], 0),
            (BOUNDS_SECONDS[0] * 1.01, 1),
            (60.0, len(BOUNDS_SECONDS) - 1),
            (61.0, len(BOUNDS_SECONDS)),
        ],
    )
    def test_a_bound_belongs_to_the_class_below_it(self, seconds: float, at: int) -> None:
        counted = counters()
        counted.request("GET", 200, seconds)
        assert counted.durations().requests == Distribution(
            tuple(int(each == at) for each in range(len(BOUNDS_SECONDS) + 1)), seconds
        )

    def test_waiting_and_running_are_distinguished(self) -> None:
        counted = counters()
        counted.render(waited_seconds=2.0, ran_seconds=0.25)
        counted.render(waited_seconds=3.0, ran_seconds=0.5)
        durations = counted.durations()
        assert (durations.render_waits.sum_seconds, durations.render_runs.sum_seconds) == (
            5.0,
            0.75,
        )
        assert sum(durations.render_waits.counts) == sum(durations.render_runs.counts) == 2


class LastErrorsTests:
    """What an operator sees of errors."""

    def test_an_error_has_its_time(self) -> None:
        counted = counters()
        counted.error("store", "the disk is full")
        assert counted.last_errors() == (
            LoggedError("2026-01-01T00:00:00Z", "store", "the disk is full"),
        )

    def test_the_newest_come_first_and_the_old_ones_go(self) -> None:
        counted = counters()
        for at in range(ERRORS_KEPT + 5):
            counted.error("store", str(at))
        assert [int(noted.text) for noted in counted.last_errors()] == list(
            range(ERRORS_KEPT + 4, 4, -1)
        )

    def test_a_text_is_short_and_moves_no_cursor(self) -> None:
        counted = counters()
        counted.error("store", "\x1b[2J\n" + "a" * 10_000)
        [noted] = counted.last_errors()
        assert len(noted.text) == ERROR_LENGTH_MAX
        assert noted.text.isprintable()


class FailureTests:
    """What fails is counted by kind; what is nobody's mistake but the server's is noted too."""

    def test_what_an_operator_should_hear_of_is_noted(self) -> None:
        counters = Counters(lambda: 0.0)
        for error in (
            BadRequest("path", "is empty"),
            Overloaded("full"),
            NotStored("broken"),
            DiskFull("the disk is full"),
            InternalError(),
        ):
            note_failure(counters, "store_image", error)
        assert [(one.what, one.text) for one in counters.last_errors()] == [
            ("store_image", str(InternalError())),
            ("store_image", "the disk is full"),
        ]
        assert len(counters.totals().failures) == 5
