"""Aborting an engine: what is under way fails soon, and nothing new is begun."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagepipe.core.rendering.formats import JPEG, PNG
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.plan import RenderSettings, plan_render
from imagepipe.engines.auto import AutoEngine
from imagepipe.engines.magick import child_process
from imagepipe.engines.magick.magick_engine import ImageMagickEngine
from imagepipe.engines.vips.vips_engine import VipsEngine
from imagepipe.errors import NotStored
from tests.support.blocking_convert import BlockingConvert
from tests.support.source_images import saved, scene_jpeg, small
from tests.system.engines.contract.engine_contract import render, request

OUTPUT = request(Size(50, 50), PNG)


class AbortTests:
    def test_a_vips_job_under_way_fails(self, tmp_path: Path) -> None:
        engine = VipsEngine()
        with ThreadPoolExecutor(1) as thread, engine.open(scene_jpeg(), JPEG) as source:
            os.kill(engine.workers[0], signal.SIGSTOP)  # it would take for ever
            job = thread.submit(
                source.render, plan_render((OUTPUT,), source.facts, RenderSettings()), tmp_path
            )
            engine.abort()
            assert isinstance(job.exception(), NotStored)
        with pytest.raises(NotStored, match="aborted"):
            render(engine, scene_jpeg(), tmp_path, OUTPUT)
        engine.close()

    def test_an_imagemagick_job_under_way_fails(self, tmp_path: Path) -> None:
        gate = BlockingConvert(tmp_path / "gate")
        imagemagick = ImageMagickEngine(str(gate.convert))
        engine = AutoEngine(VipsEngine(), imagemagick)
        with ThreadPoolExecutor(1) as thread:
            job = thread.submit(render, imagemagick, scene_jpeg(), tmp_path, OUTPUT)
            gate.wait_for_arrival()
            engine.abort()
            assert isinstance(job.exception(), NotStored)
        with pytest.raises(NotStored, match="aborted"):
            render(engine, saved(small(20, 20), "BMP"), tmp_path, OUTPUT)
        gate.remove()
        engine.close()

    def test_a_child_that_was_not_known_yet_when_all_were_killed_is_killed_too(
        self, tmp_path: Path
    ) -> None:
        with (tmp_path / "empty").open("w+b") as nothing:
            environment = {"PATH": "/usr/bin:/bin"}
            finished = child_process.run(
                ["sleep", "1000"],
                nothing.fileno(),
                tmp_path,
                environment,
                time.monotonic() + 1000,
                1 << 30,
                is_aborted=lambda: True,
            )
        assert finished.status == -signal.SIGKILL
