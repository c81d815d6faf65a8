"""A node's data on disk: the store, and the render cache, which follows its removals."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from imagepipe.config.settings import Settings
from imagepipe.core.replication.admission import Admission
from imagepipe.storage.cache.cache import RenderCache
from imagepipe.storage.layout import Layout
from imagepipe.storage.store import Store


class StorageParts:
    """The store and the render cache, both open. Created on a thread; raises StartError.

    background: a thread for work that no request waits for.
    """

    def __init__(self, settings: Settings, on_fatal: Callable[[Exception], None]) -> None:
        images = settings.images
        self.background = ThreadPoolExecutor(1, "background")
        self.store = store = Store.open(
            images.path, umask=images.umask, now_ms=wall_ms, on_fatal=on_fatal
        )
        self.cache = RenderCache.open(
            Layout(images.path.absolute()).cache,
            cache_bytes_max(settings),
            is_there=lambda digest: store.object_path(digest).is_file(),
        )
        self.admit(settings)
        # an image may have many renditions, and a listener must not block
        store.removed.connect(lambda digests: self.background.submit(self.cache.forget, digests))
        store.full.connect(self.cache.give_up_space)

    def start(self) -> None:
        """Accept changes; until then the store can only be read."""
        self.store.start()
        threading.Thread(target=self.cache.recover, name="recover cache", daemon=True).start()

    def admit(self, settings: Settings) -> None:
        """Apply the limits of these settings to the images that peers send."""
        images = settings.images
        self.store.peers.admission = Admission(images.bytes_max, images.pixels_max)

    def resize_cache(self, before: Settings, after: Settings) -> None:
        """Resize the cache to the new settings, in the background."""
        if (bytes_max := cache_bytes_max(after)) != cache_bytes_max(before):
            self.background.submit(self.cache.resize, bytes_max)

    def close(self) -> None:
        """Flush and close everything; blocks."""
        self.store.close()
        # after the store, whose last housekeeping may still remove something
        self.background.shutdown()
        self.cache.close()


def cache_bytes_max(settings: Settings) -> int:
    """The size of the render cache: 0 without an image server, its only user."""
    return settings.http.cache_bytes_max if settings.http.is_enabled else 0


def wall_ms() -> int:
    """The wall clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
