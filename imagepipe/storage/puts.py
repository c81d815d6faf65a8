"""How images get from a staging folder into the store: hash and flush each file, move it in as an
object, flush, commit.
"""

import contextlib
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from twisted.logger import Logger

from imagepipe.core.rows.entries import Content, PathChange
from imagepipe.core.rows.stamp import milliseconds
from imagepipe.errors import BadRequest, DiskFull, quoted
from imagepipe.runtime.profiling import measured
from imagepipe.storage.disk import FULL, open_for_reading, refusal
from imagepipe.storage.image_info import Commit, ImageInfo, StagedImage
from imagepipe.storage.parts import Parts
from imagepipe.storage.writer.calls import WriteCall

_log = Logger()


class Puts:
    """For any thread."""

    def __init__(self, parts: Parts) -> None:
        self._staging_folder = parts.layout.staging
        self._run = parts.run
        self._objects = parts.objects
        self._pins = parts.pins
        self._health = parts.health
        self._reserve = parts.reserve
        self._writer = parts.writer
        # a counter that several threads may advance at once, which a generator does not allow
        self._numbers = itertools.count()

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder of the caller's own, removed at the end."""
        folder = self._staging_folder / f"{self._run}-{next(self._numbers)}"
        try:
            folder.mkdir(0o700)
        except OSError as error:
            self._health.check_places()  # which knows better what is wrong
            raise refusal(error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, onerror=_left_behind)

    def put(self, images: Sequence[StagedImage], *, only_new: bool) -> Commit:
        """See Store.put."""
        if not self._reserve.is_allocated:
            raise DiskFull(FULL)
        changes: dict[str, PathChange] = {}
        contents = []
        for image in images:
            if image.path in changes:
                raise BadRequest("path", f"two images for {quoted(image.path)}")
            contents.append(self._seal(image.file))
            changes[image.path] = PathChange(image.path, contents[-1])
        digests = [content.digest for content in contents]
        with self._pins.pinned(digests):
            with measured("flush"):
                for image, content in zip(images, contents, strict=True):
                    self._objects.add(content.digest, image.file, content.size)
                self._objects.flush(digests)
            facts = {digest: image.facts for image, digest in zip(images, digests, strict=True)}
            call = WriteCall(
                tuple(changes), lambda _: tuple(changes.values()), facts=facts, only_new=only_new
            )
            with measured("commit"):
                self._writer.submit(call)
                commit = call.future.result()
        if commit.version is None:
            return commit
        modified_ms = milliseconds(commit.version.stamp)
        return replace(
            commit,
            stored=tuple(
                _stored(image, content, modified_ms)
                for image, content in zip(images, contents, strict=True)
            ),
        )

    def _seal(self, file: Path) -> Content:
        """Hash a staged file and flush it."""
        with open_for_reading(file) as opened:
            with measured("hash"):
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            with measured("flush"):
                self._objects.seal(opened.fileno(), file)
            return Content(digest, os.fstat(opened.fileno()).st_size)


def _stored(image: StagedImage, content: Content, modified_ms: int) -> ImageInfo:
    facts = image.facts
    return ImageInfo(
        image.path,
        content.size,
        content.digest,
        facts.width,
        facts.height,
        facts.format,
        modified_ms,
    )


def _left_behind(_function: object, path: str, error: object) -> None:
    _log.warn(
        "the staged file {path} is left until the next start: {error}", path=path, error=error
    )
