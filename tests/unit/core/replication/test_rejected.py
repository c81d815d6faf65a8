"""Bytes that were of no use are not asked for again at once."""

from imagepipe.core.replication.rejected import (
    SHUNNED_MAX,
    UNWANTED_SECONDS,
    WRONG_SECONDS,
    WRONG_SECONDS_MAX,
    Shunned,
)
from imagepipe.core.rows.entries import Content

IMAGE = Content("1" * 64, 5)


class ShunnedTests:
    def test_wrong_bytes_wait_longer_each_time(self) -> None:
        shunned = Shunned()
        assert not shunned.has(IMAGE, 0.0)
        assert shunned.why(IMAGE) is None
        now, pauses = 0.0, []
        for _ in range(12):
            shunned.was_wrong(IMAGE, now)
            end = next(
                now + pause for pause in range(1, 200) if not shunned.has(IMAGE, now + pause)
            )
            pauses.append(end - now)
            now = end
        assert pauses[:3] == [WRONG_SECONDS, 2 * WRONG_SECONDS, 4 * WRONG_SECONDS]
        assert pauses[-1] == WRONG_SECONDS_MAX
        assert "digest" in str(shunned.why(IMAGE))

    def test_what_is_no_image_waits_long(self) -> None:
        shunned = Shunned()
        shunned.was_unwanted(IMAGE, 0.0)
        assert shunned.has(IMAGE, UNWANTED_SECONDS - 1)
        assert not shunned.has(IMAGE, UNWANTED_SECONDS)
        assert "not an image" in str(shunned.why(IMAGE))

    def test_what_has_come_is_forgotten(self) -> None:
        shunned = Shunned()
        shunned.was_wrong(IMAGE, 0.0)
        shunned.is_here(IMAGE)
        shunned.is_here(IMAGE)
        assert not shunned.has(IMAGE, 0.0)

    def test_no_peer_can_make_the_list_grow_without_end(self) -> None:
        shunned = Shunned()
        contents = [Content(f"{number:064x}", 1) for number in range(SHUNNED_MAX + 1)]
        for content in contents:
            shunned.was_unwanted(content, 0.0)
        assert [shunned.has(content, 0.0) for content in contents] == [False] + [True] * SHUNNED_MAX
