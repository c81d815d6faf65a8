"""One decode for all sizes: a 12-megapixel photograph to 500, 250 and 50 pixels, by the seed's three commands and by both engines.

    python benchmarks/one_decode.py [ROUNDS]

The rounds are interleaved, so that whatever else the machine does slows all alike; an engine's time is that of the whole call: opening, planning, rendering.
"""

# ruff: noqa: T201 - printing is what it is for

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from imagepipe.core.formats import JPEG
from imagepipe.core.geometry import Size
from imagepipe.core.plan import RenderPlan, RenderSettings, plan_render
from imagepipe.core.request import OutputRequest
from imagepipe.engines.engine import Engine
from imagepipe.engines.imagemagick import ImageMagickEngine
from imagepipe.engines.vips import VipsEngine

CONVERT = "/usr/bin/convert"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "MAGICK_THREAD_LIMIT": "1"}
PHOTOGRAPH = Path(__file__).parent.parent / ".cache/photos/usr/share/backgrounds/Kleiber_by_Lukas_Baubkus.jpg"
SIDES = (500, 250, 50)
GOALS = {"imagemagick": 5, "vips": 12}


def main(rounds: int) -> int:
    """Print the plan, the medians and the ratios; the exit status is 1 if a goal is missed."""
    if not PHOTOGRAPH.is_file():
        print(f"{PHOTOGRAPH} is missing: `make test` fetches it")
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source.jpg"
        crop = ["-resize", "4000x3000^", "-gravity", "center", "-crop", "4000x3000+0+0", "+repage"]
        subprocess.run([CONVERT, PHOTOGRAPH, *crop, "-strip", "-quality", "92", source], check=True, env=ENVIRONMENT)
        return _measure(source, folder, rounds)


def _measure(source: Path, folder: Path, rounds: int) -> int:
    image = source.read_bytes()
    imagemagick, vips = ImageMagickEngine(environment={"MAGICK_THREAD_LIMIT": "1"}), VipsEngine()
    vips.start(1)
    _show(len(image), _render(vips, image, folder))
    ways: dict[str, Callable[[], object]] = {
        "seed": lambda: _seed(source, folder),
        "imagemagick": lambda: _render(imagemagick, image, folder),
        "vips": lambda: _render(vips, image, folder),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    vips.close()

    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    print(f"\n{rounds} rounds, interleaved                          median ms    times as fast")
    print(f"three convert commands, one a size (the seed)  {medians['seed'] * 1000:9.0f}")
    met = True
    for name, goal in GOALS.items():
        ratio = medians["seed"] / medians[name]
        met = met and ratio >= goal
        print(f"engine {name:39} {medians[name] * 1000:9.0f}    {ratio:13.1f}   goal {goal}: {'met' if ratio >= goal else 'MISSED'}")
    return 0 if met else 1


def _show(image_bytes: int, plan: RenderPlan) -> None:
    print(f"Python {platform.python_version()}; {CONVERT}")
    print(f"source: {plan.source}, {plan.picture}, {image_bytes} bytes; one decode at 1/{plan.shrink} for all outputs:")
    for output in plan.outputs:
        print(f"  {output.path:12} scale {plan.picture} -> {output.scale}, quality {output.quality}")


def _seed(source: Path, folder: Path) -> None:
    for side in SIDES:
        command = [CONVERT, str(source), "-auto-orient", "-resize", f"{side}x{side}>", "-quality", "85", str(folder / f"seed_{side}.jpg")]
        subprocess.run(command, check=True, env=ENVIRONMENT)


def _render(engine: Engine, image: bytes, folder: Path) -> RenderPlan:
    requests = tuple(OutputRequest(f"a_{side}.jpg", Size(side, side), JPEG) for side in SIDES)
    with engine.open(image, JPEG) as source:
        plan = plan_render(requests, source.facts, RenderSettings())
        source.render(plan, folder)
    return plan


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 11))
