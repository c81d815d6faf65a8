"""The engine that is the reference: ImageMagick's `convert`, one child a call
(docs/design/architecture.md, "Rendering").

It takes the image from a file in memory, its standard input, and writes into its working directory
under names of ours: nothing that a client sent is on its command line. The coder is named, the
policy beside this module allows the formats of our list alone, and limits bound the rest.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.logger import Logger
from unidecode import unidecode

from imagepipe.core.rendering.colourimetry import Colourimetry
from imagepipe.core.rendering.formats import BMP, GIF, PNG, TIFF, WEBP, Format
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.icc import profile_of
from imagepipe.core.rendering.plan import Colours, RenderPlan, SourceFacts
from imagepipe.engines.failure_reasons import of_kind, reason
from imagepipe.engines.files import (
    bmp_colours,
    embedded_metadata,
    embedded_profile,
    exif_traps,
    png_colours,
    tiff_header,
)
from imagepipe.engines.files.frame_delays import to_centiseconds
from imagepipe.engines.files.gif_frames import with_delays as with_hundredths
from imagepipe.engines.files.webp_container import with_alpha, with_delays
from imagepipe.engines.magick import child_process
from imagepipe.engines.magick.magick_command import (
    COLOURS_FILE,
    FRAMES_MAX,
    MagickLimits,
    facts_arguments,
    has_colours_file,
    render_arguments,
)
from imagepipe.engines.magick.magick_source import MagickSource, prepare
from imagepipe.engines.memory_file import Image, bytes_of, descriptor_of
from imagepipe.errors import DiskFull, NotStored
from imagepipe.runtime.profiling import measured

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
_POLICY_FOLDER = str(Path(__file__).parent)

_CORRUPT = re.compile(
    r"premature end|unexpected end-of-file|insufficient image data|corrupt image|unable to read"
    r" image data",
    re.IGNORECASE,
)
"""What convert says of an image of which a part is missing, though it may exit with 0. What it else
warns of is harmless: phones write JPEGs with "extraneous bytes before marker".
"""

_BAD_PROFILE = re.compile(r"unable to create color transform|ColorspaceColorProfileMismatch")
_WRITING = re.compile(
    r"no space left|disk quota|unable to write|write error|WriteBlob|file too large|maximum TIFF"
    r" file size",
    re.IGNORECASE,
)
_FULL = re.compile(r"no space left|disk quota", re.IGNORECASE)
_COLOURS = {"sRGB": Colours.RGB, "Gray": Colours.GREY, "CMYK": Colours.CMYK}
_PNG_COLOURS = _COLOURS | {"RGB": Colours.RGB, "LinearGray": Colours.GREY}
"""It says so of a PNG whose gAMA is 1."""

_ORIENTATIONS = {
    "TopLeft": 1,
    "TopRight": 2,
    "BottomRight": 3,
    "BottomLeft": 4,
    "LeftTop": 5,
    "RightTop": 6,
    "RightBottom": 7,
    "LeftBottom": 8,
}

_log = Logger()


class ImageMagickEngine:
    """An Engine; see `engine`.

    `convert`: the program's path. `environment`: `[[env]]` of the configuration, for the child.
    `timeout_seconds` bounds a job from its opening to its last output; `pixels_max` is
    `max_pixels`.
    """

    def __init__(
        self,
        convert: str = "/usr/bin/convert",
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 60.0,
        pixels_max: int = 100_000_000,
    ) -> None:
        self._convert = convert
        self._environment = {
            **_ENVIRONMENT,
            **(environment or {}),
            "MAGICK_CONFIGURE_PATH": _POLICY_FOLDER,
        }
        self._timeout_seconds = timeout_seconds
        self._limits = MagickLimits(pixels_max, int(timeout_seconds) + 1)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._aborted = False

    @contextmanager
    def open(self, image: Image, format: Format) -> Iterator["ImageMagickSource"]:
        """See Engine."""
        deadline = time.monotonic() + self._timeout_seconds
        content = bytes_of(image)
        if why := of_kind(content[:64], format):
            raise NotStored(f"the image cannot be read: {why}")
        try:
            source = prepare(exif_traps.without_traps(content, format), format)
        except exif_traps.TooManyBlocksError as error:
            raise NotStored(f"the image cannot be read: {error}") from None
        if len(source.delays_ms) + len(source.inserted) > FRAMES_MAX:
            # ImageMagick would read all of them before it refuses the last one.
            raise NotStored(f"the image cannot be read: it has more than {FRAMES_MAX} frames")
        with descriptor_of(image if source.data is content else source.data) as descriptor:
            # Even to print a line, convert writes a temporary file first.
            with measured("open"), TemporaryDirectory(prefix="imagepipe-") as folder:
                said = self._run(
                    facts_arguments(format, self._limits), descriptor, Path(folder), deadline
                )
            facts = _parse_facts(said, format, content, source)

            def render(plan: RenderPlan, folder: Path) -> None:
                if has_colours_file(plan, source):
                    colours = profile_of(plan.colourimetry) if plan.colourimetry else source.profile
                    (folder / COLOURS_FILE).write_bytes(colours)
                try:
                    self._render(plan, descriptor, folder.absolute(), deadline, source)
                finally:
                    (folder / COLOURS_FILE).unlink(missing_ok=True)

            yield ImageMagickSource(facts, render)

    @property
    def workers(self) -> tuple[int, ...]:
        """The process ids of its children."""
        return tuple(sorted(process.pid for process in self._running.copy()))

    def abort(self) -> None:
        """See Engine."""
        self._aborted = True
        for process in self._running.copy():
            child_process.kill(process)

    def close(self) -> None:
        """See Engine; nothing of it outlives a call."""

    def _render(
        self, plan: RenderPlan, descriptor: int, folder: Path, deadline: float, source: MagickSource
    ) -> None:
        try:
            self._run(render_arguments(plan, self._limits, source), descriptor, folder, deadline)
        except _BadProfile:
            # Broken, or of another colour space than its picture: ignored, as it is where
            # ImageMagick happens to exit with 0.
            self._run(
                render_arguments(replace(plan, profile=False), self._limits, source),
                descriptor,
                folder,
                deadline,
            )
        # convert is not always honest in its exit status.
        for n, output in enumerate(plan.outputs):
            file = folder / str(n)
            if not file.is_file():
                raise NotStored("ImageMagick did not write an output")
            if output.animated:
                see_through = not output.flatten and (plan.alpha or output.canvas is not None)
                # in place: the disk may have filled up meanwhile
                with file.open("r+b") as animation:
                    mended = _mended(
                        animation.read(), output.format, source.delays_ms, see_through=see_through
                    )
                    animation.seek(0)
                    animation.write(mended)

    def _run(self, arguments: list[str], descriptor: int, folder: Path, deadline: float) -> bytes:
        if self._aborted:
            raise NotStored("rendering was aborted")
        os.lseek(descriptor, 0, os.SEEK_SET)  # its position is shared with the child before
        environment = {**self._environment, "MAGICK_TMPDIR": str(folder)}
        try:
            memory_bytes = self._limits.memory_bytes + (2 << 30)
            finished = child_process.run(
                [self._convert, *arguments],
                descriptor,
                folder,
                environment,
                deadline,
                memory_bytes,
                running=self._running,
                is_aborted=lambda: self._aborted,
            )
        except TimeoutError:
            raise NotStored(
                f"rendering took longer than {self._timeout_seconds:g} s (timeout)"
            ) from None
        except OSError as error:
            _log.error("cannot start {convert}: {error}", convert=self._convert, error=error)
            raise NotStored("ImageMagick, which this image needs, is not installed here") from None
        errors = unidecode(finished.errors.decode("utf-8", "replace"))
        if finished.status == 0 and not _CORRUPT.search(errors):
            return finished.out
        if _BAD_PROFILE.search(errors):
            raise _BadProfile(_short(errors))
        _log.warn(
            "{convert} exited with status {status}:\n{errors}",
            convert=self._convert,
            status=finished.status,
            errors=errors,
        )
        if finished.status < 0:
            raise NotStored(f"ImageMagick was killed by signal {-finished.status}")
        raise (DiskFull if _FULL.search(errors) else NotStored)(_short(errors))


class _BadProfile(NotStored):
    """The colours could not be converted by the source's profile."""


class ImageMagickSource:
    """A Source; see `engine`."""

    def __init__(self, facts: SourceFacts, render: Callable[[RenderPlan, Path], None]) -> None:
        self.facts = facts
        self._render = render

    def render(self, plan: RenderPlan, folder: Path) -> None:
        """See Source."""
        self._render(plan, folder)


def _parse_facts(said: bytes, format: Format, image: bytes, source: MagickSource) -> SourceFacts:
    """The facts in what FACTS_FORMAT printed, a line a frame, of which the last may be cut off.

    `indexed` is left out: it is for engines that must choose the filter that ImageMagick would.
    """
    try:
        numbers, sampling, orientation = (
            said.decode("utf-8", "replace").splitlines()[0].split("|", 2)
        )
        _, width, height, canvas_width, canvas_height, count, alpha, colourspace = numbers.split()
        # Only an animation's frames lie on a canvas; elsewhere it is where a scanner had put the
        # page.
        size = (
            Size(int(canvas_width), int(canvas_height))
            if format.animates
            else Size(int(width), int(height))
        )
        frames = int(count) - len(source.inserted) if format.animates else 1
    except (IndexError, ValueError):
        raise NotStored("the image cannot be read") from None
    if min(size.width, size.height, frames) < 1:
        raise NotStored("the image cannot be read: it has no pixels")
    colours = (_PNG_COLOURS if format == PNG else _COLOURS).get(colourspace, Colours.OTHER)
    turned = (
        embedded_metadata.orientation(image, format)
        if format in (PNG, WEBP)
        else _ORIENTATIONS.get(orientation, 1)
    )
    profile, colourimetry = _meaning(image, format, colours)
    tiff = tiff_header.read(image) if format == TIFF else None
    return SourceFacts(
        format=format,
        size=size,
        orientation=turned,
        frames=frames,
        # `convert -ping` does not report the alpha of a TIFF.
        alpha=(
            source.alpha
            if source.alpha is not None
            else alpha == "True" or (tiff is not None and tiff.has_alpha)
        ),
        colours=colours,
        profile=profile,
        colourimetry=colourimetry,
        full_chroma=sampling == "1x1,1x1,1x1",
        block_bytes=tiff.tile_bytes if tiff else 0,
    )


def _meaning(image: bytes, format: Format, colours: Colours) -> tuple[bool, Colourimetry | None]:
    """Whether the embedded profile counts, and what counts in its place."""
    if format == PNG:
        said = png_colours.read(image, colours)
        return said.profile, said.colourimetry
    if embedded_metadata.profile_fits(embedded_profile.profile(image, format), colours):
        return True, None
    return False, bmp_colours.calibration(image) if format == BMP else None


def _mended(
    animation: bytes, format: Format, delays_ms: Sequence[int], *, see_through: bool
) -> bytes:
    """An animation as ImageMagick wrote it, with the delays and the alpha that it should have."""
    if format == GIF:
        return with_hundredths(animation, to_centiseconds(delays_ms))
    timed = with_delays(animation, delays_ms)
    return with_alpha(timed) if see_through else timed


def _short(errors: str) -> str:
    """What convert said, as a sentence for the client."""
    why = reason(errors)
    return (
        f"the outputs cannot be written: {why}"
        if _WRITING.search(why)
        else f"the image cannot be rendered: {why}"
    )
