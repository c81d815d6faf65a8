"""The command line of ImageMagick, and what its policy keeps out."""

import re
import time
from pathlib import Path

import pytest

import imagepipe.engines.magick
from imagepipe.core.rendering.formats import FORMATS, GIF, JPEG, PNG, TIFF, WEBP, Format
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import Method, OutputRequest
from imagepipe.core.rendering.plan import RenderSettings, plan_render
from imagepipe.engines.magick import child_process
from imagepipe.engines.magick.magick_command import MagickLimits, facts_arguments, render_arguments
from imagepipe.engines.magick.magick_engine import ImageMagickEngine
from imagepipe.engines.magick.magick_source import MagickSource
from imagepipe.engines.memory_file import memory_file
from imagepipe.errors import NotStored
from tests.support.cluster import eventually
from tests.support.reference_images import CONVERT, convert
from tests.support.source_images import oriented, png, saved, scene_jpeg, small
from tests.system.engines.contract.engine_contract import facts_of, render, request

LIMITS = MagickLimits(pixels_max=100_000_000, seconds=60)


def under_policy(folder: Path, *arguments: str) -> child_process.Finished:
    """`convert`, with a picture of a pixel as its input."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "MAGICK_CONFIGURE_PATH": str(Path(imagepipe.engines.magick.__file__).parent),
    }
    with memory_file(png(1, 1, 8, 0)) as descriptor:
        return child_process.run(
            [CONVERT, *arguments], descriptor, folder, environment, time.monotonic() + 20, 1 << 30
        )


class ArgumentsTests:
    """Every argument is a number or a word of ours."""

    def test_nothing_that_a_client_sent_is_an_argument(self) -> None:
        engine = ImageMagickEngine()
        facts = facts_of(engine, oriented(6, "JPEG"))
        hostile = "-delegate x;|`%d[0]@/etc/passwd "
        requests = [
            OutputRequest(f"{hostile}/{n}.{format}", Size(40, 50), format, method)
            for n, (format, method) in enumerate(
                (format, method) for format in (JPEG, PNG, GIF, WEBP, TIFF) for method in Method
            )
        ]
        arguments = render_arguments(
            plan_render(tuple(requests), facts, RenderSettings()), LIMITS, MagickSource(b"")
        )
        ours = re.compile(r"[-+]?[a-zA-Z0-9:=.+!-]+|\(|\)|jpeg:-\[0\]|/\S+/srgb\.icc")
        assert [word for word in arguments if not ours.fullmatch(word)] == []
        assert all(part not in " ".join(arguments) for part in hostile.split())

    def test_every_size_is_forced(self) -> None:
        engine = ImageMagickEngine()
        plan = plan_render(
            (request(Size(40, 50)),), facts_of(engine, scene_jpeg()), RenderSettings()
        )
        arguments = render_arguments(plan, LIMITS, MagickSource(b""))
        assert arguments[arguments.index("-resize") + 1] == "40x23!"

    def test_a_jpeg_is_decoded_small(self) -> None:
        engine = ImageMagickEngine()
        plan = plan_render(
            (request(Size(40, 50)),), facts_of(engine, scene_jpeg()), RenderSettings()
        )
        assert "jpeg:size=150x84" in render_arguments(plan, LIMITS, MagickSource(b""))
        assert plan.shrink == 8

    @pytest.mark.parametrize("format", FORMATS, ids=str)
    def test_the_coder_is_named(self, format: Format) -> None:
        assert any(word.startswith(f"{format}:-") for word in facts_arguments(format, LIMITS))


class PolicyTests:
    """The policy beside the engine: a fixed list of formats, nothing else."""

    @pytest.mark.parametrize(
        "picture",
        "xc:red label:x caption:x text:- label:@/etc/passwd msl:- mvg:- svg:- pdf:-"
        " https://127.0.0.1/x".split(),
    )
    def test_other_coders_are_refused(self, picture: str, tmp_path: Path) -> None:
        assert (
            b"not allowed by the security policy" in under_policy(tmp_path, picture, "png:0").errors
        )
        assert not (tmp_path / "0").exists()

    @pytest.mark.parametrize("format", ["svg", "mvg", "pdf", "ps", "html", "txt", "mpc"])
    def test_other_formats_are_not_written(self, format: str, tmp_path: Path) -> None:
        finished = under_policy(tmp_path, "png:-", f"{format}:0")
        assert finished.status != 0
        assert b"not allowed by the security policy" in finished.errors
        assert [path.stat().st_size for path in tmp_path.iterdir()] in ([], [0])

    def test_a_picture_wider_than_the_systems_policy_allows(self, tmp_path: Path) -> None:
        (made,) = render(
            ImageMagickEngine(), png(20_000, 10, 8, 2), tmp_path, request(Size(500, 500), PNG)
        )
        assert convert("png:-", "-format", "%wx%h", "info:-", image=made) == b"500x1"

    def test_pixels_are_bounded_whatever_the_header_said(self, tmp_path: Path) -> None:
        engine = ImageMagickEngine(pixels_max=1_000_000)
        with engine.open(png(3_000, 3_000, 8, 2), PNG) as source:
            plan = plan_render((request(Size(10, 10)),), source.facts, RenderSettings())
            with pytest.raises(NotStored, match="cannot be rendered"):
                source.render(plan, tmp_path)


class ChildTests:
    """A child that misbehaves; a script stands in for `convert`."""

    def script(self, folder: Path, *lines: str) -> str:
        """Its path."""
        path = folder / "convert"
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="ascii")
        path.chmod(0o755)
        return str(path)

    def refused(self, convert: str, timeout_seconds: float = 20.0) -> str:
        """What the client is told."""
        with pytest.raises(NotStored) as raised:
            facts_of(
                ImageMagickEngine(convert, {"WORD": "from [[env]]"}, timeout_seconds), scene_jpeg()
            )
        return str(raised.value)

    def test_a_child_that_hangs_is_killed_with_all_it_started(self, tmp_path: Path) -> None:
        convert = self.script(
            tmp_path, "exec 3<>/dev/null", f"sleep 1000 & echo $! > {tmp_path}/pid", "wait"
        )
        assert self.refused(convert, 0.5) == "rendering took longer than 0.5 s (timeout)"
        pid = int((tmp_path / "pid").read_text())
        # It is no child of ours, so that all that can be seen is that it does nothing any more; on
        # a busy machine it dies a moment after it was killed.
        eventually(
            lambda: (
                not Path(f"/proc/{pid}").exists()
                or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
            )
        )

    def test_a_child_that_never_stops_talking_is_killed(self, tmp_path: Path) -> None:
        assert "timeout" in self.refused(self.script(tmp_path, "exec yes >&2"), 0.5)

    def test_what_it_says_is_short_and_ascii(self, tmp_path: Path) -> None:
        convert = self.script(tmp_path, f"cat {tmp_path}/said >&2", "exit 1")
        (tmp_path / "said").write_text(
            "convert: na\u00efve \u2603 " + "x" * 100_000, encoding="utf-8"
        )
        said = self.refused(convert)
        assert said.startswith("the image cannot be rendered: naive ")
        assert said.isascii()
        assert len(said) < 300

    def test_a_child_that_is_killed(self, tmp_path: Path) -> None:
        assert (
            self.refused(self.script(tmp_path, "kill -9 $$"))
            == "ImageMagick was killed by signal 9"
        )

    def test_a_child_that_lies(self, tmp_path: Path) -> None:
        assert self.refused(self.script(tmp_path, "exit 0")) == "the image cannot be read"
        assert (
            self.refused(self.script(tmp_path, "echo 0 0 0 0 0 1 False sRGB\\|\\|\\|"))
            == "the image cannot be read: it has no pixels"
        )

    def test_its_environment_is_ours_and_that_of_the_configuration(self, tmp_path: Path) -> None:
        self.refused(self.script(tmp_path, f"env > {tmp_path}/env"))
        names = {line.split("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
        assert names - {"PWD", "_", "SHLVL", "OLDPWD"} == {
            "PATH",
            "LC_ALL",
            "HOME",
            "MAGICK_CONFIGURE_PATH",
            "MAGICK_TMPDIR",
            "WORD",
        }

    def test_the_configuration_cannot_lift_the_policy(self, tmp_path: Path) -> None:
        engine = ImageMagickEngine(
            self.script(tmp_path, f"echo $MAGICK_CONFIGURE_PATH > {tmp_path}/path"),
            {"MAGICK_CONFIGURE_PATH": "/tmp"},
        )
        with pytest.raises(NotStored):
            facts_of(engine, saved(small(), "PNG"))
        assert (tmp_path / "path").read_text().strip() == str(
            Path(imagepipe.engines.magick.__file__).parent
        )
