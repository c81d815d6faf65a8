"""Bytes that were of no use are not asked for again at once."""

from imagepipe.core.replication.rejected import (
    REJECTED_MAX,
    UNWANTED_SECONDS,
    WRONG_SECONDS,
    WRONG_SECONDS_MAX,
    RejectedContents,
)
from imagepipe.core.rows.entries import Content

IMAGE = Content("1" * 64, 5)


class ShunnedTests:
    def test_wrong_bytes_wait_longer_each_time(self) -> None:
        rejected = RejectedContents()
        assert not rejected.has(IMAGE, 0.0)
        assert rejected.why(IMAGE) is None
        now, pauses = 0.0, []
        for _ in range(12):
            rejected.note_wrong(IMAGE, now)
            end = next(
                now + pause for pause in range(1, 200) if not rejected.has(IMAGE, now + pause)
            )
            pauses.append(end - now)
            now = end
        assert pauses[:3] == [WRONG_SECONDS, 2 * WRONG_SECONDS, 4 * WRONG_SECONDS]
        assert pauses[-1] == WRONG_SECONDS_MAX
        assert "digest" in str(rejected.why(IMAGE))

    def test_content_that_is_not_an_image_waits_long(self) -> None:
        rejected = RejectedContents()
        rejected.note_unwanted(IMAGE, 0.0)
        assert rejected.has(IMAGE, UNWANTED_SECONDS - 1)
        assert not rejected.has(IMAGE, UNWANTED_SECONDS)
        assert "not an image" in str(rejected.why(IMAGE))

    def test_what_has_come_is_forgotten(self) -> None:
        rejected = RejectedContents()
        rejected.note_wrong(IMAGE, 0.0)
        rejected.note_received(IMAGE)
        rejected.note_received(IMAGE)
        assert not rejected.has(IMAGE, 0.0)

    def test_no_peer_can_make_the_list_grow_without_end(self) -> None:
        rejected = RejectedContents()
        contents = [Content(f"{number:064x}", 1) for number in range(REJECTED_MAX + 1)]
        for content in contents:
            rejected.note_unwanted(content, 0.0)
        assert [rejected.has(content, 0.0) for content in contents] == [False] + [
            True
        ] * REJECTED_MAX
