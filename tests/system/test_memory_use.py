"""What a real daemon holds once the work is done."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.daemon_process import fault_of, running, text

LARGE_BYTES = 20 << 20
CALLS = 12
CLIENTS = 8


class MemoryTests:
    def test_the_memory_that_large_images_took_is_given_back(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        large = text(b"no image, which spares the disk" + bytes(LARGE_BYTES))
        with running(tmp_path) as daemon, ThreadPoolExecutor(CLIENTS) as clients:
            daemon.proxy.store_image(text(picture), "first.jpg")
            before = daemon.resident_bytes
            refusals = clients.map(
                lambda _: fault_of(daemon.proxy.store_image, large, "large.jpg"), range(CALLS)
            )
            assert {refusal.faultCode for refusal in refusals} == {1000}
            assert daemon.resident_bytes - before < LARGE_BYTES
