"""One decode for all sizes: a 12-megapixel photograph to 500, 250 and 50 pixels, by three `convert`
commands, as the first imagepipe did it, and by both engines.

The rounds are interleaved, so that whatever else the machine does slows all alike; an engine's time
is that of the whole call: opening, planning, rendering.
"""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.photographs import photographs
from benchmarks.results import Goal, Section, Series, Table, ratio
from imagepipe.core.rendering.formats import JPEG
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import OutputRequest
from imagepipe.core.rendering.plan import RenderPlan, RenderSettings, plan_render
from imagepipe.engines.engine import Engine
from imagepipe.engines.magick.magick_engine import ImageMagickEngine
from imagepipe.engines.vips.vips_engine import VipsEngine

CONVERT = "/usr/bin/convert"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "MAGICK_THREAD_LIMIT": "1"}
SIDES = (500, 250, 50)
GOALS = {"engine imagemagick": 5, "engine vips": 12}


def measure(folder: Path, *, quick: bool) -> Section:
    """One at a time, without a daemon."""
    source = photographs(12, "jpeg", 1)[0]
    image = source.read_bytes()
    imagemagick, vips = ImageMagickEngine(environment={"MAGICK_THREAD_LIMIT": "1"}), VipsEngine()
    vips.start(1)
    plan = _render(vips, image, folder)
    ways: dict[str, Callable[[], object]] = {
        "three convert commands, one for each size": lambda: _convert_per_size(source, folder),
        "engine imagemagick": lambda: _render(imagemagick, image, folder),
        "engine vips": lambda: _render(vips, image, folder),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(3 if quick else 11):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            taken[name].append(1000 * (time.perf_counter() - started))
    vips.close()

    series = {name: Series(tuple(values)) for name, values in taken.items()}
    baseline = next(iter(series.values()))
    rows = [(name, one.text(), f"{ratio(baseline, one):.1f}") for name, one in series.items()]
    for row in rows:
        print("  " + "  ".join(row))
    goals = [
        Goal(f"{name}, relative to three convert commands", wanted, ratio(baseline, series[name]))
        for name, wanted in GOALS.items()
    ]
    outputs = ", ".join(str(output.scale) for output in plan.outputs)
    note = (
        f"A JPEG of {plan.picture} pixels, {len(image)} bytes, to {outputs}: one decode at"
        f" 1/{plan.shrink} for all three; opening, planning, rendering and writing the files."
    )
    return Section(
        (Table("One decode for all sizes", ("way", "ms", "speedup"), rows, note),), goals
    )


def _convert_per_size(source: Path, folder: Path) -> None:
    for side in SIDES:
        command = [
            CONVERT,
            str(source),
            "-auto-orient",
            "-resize",
            f"{side}x{side}>",
            "-quality",
            "85",
            str(folder / f"out_{side}.jpg"),
        ]
        subprocess.run(command, check=True, env=ENVIRONMENT)


def _render(engine: Engine, image: bytes, folder: Path) -> RenderPlan:
    requests = tuple(OutputRequest(f"a_{side}.jpg", Size(side, side), JPEG) for side in SIDES)
    with engine.open(image, JPEG) as source:
        plan = plan_render(requests, source.facts, RenderSettings())
        source.render(plan, folder)
    return plan
