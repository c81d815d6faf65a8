"""imagepipe.ini.dist, the defaults and the documentation of the options agree."""

import re
from pathlib import Path

from configobj import ConfigObj

from imagepipe.config import EngineChoice
from imagepipe.config.spec import CONFIGSPEC
from imagepipe.core.rendering.plan import RenderSettings
from tests.support.config_files import settings
from tests.support.repository import ROOT

DIST = ROOT / "imagepipe.ini.dist"


def uncommented(dist: str) -> str:
    """The text of imagepipe.ini.dist with every option of it in force."""
    return re.sub(r"^#(?=[a-z_]+ = )", "", dist, flags=re.MULTILINE)


def options(config: ConfigObj) -> set[tuple[str, str]]:
    """(section, option) of everything in a file."""
    found = {(section, name) for section in config.sections for name in config[section].scalars}
    return found | {("env", name) for name in config["imagemagick"]["env"] if name != "__many__"}


class DistTests:
    """imagepipe.ini.dist and the code say the same."""

    def test_it_has_every_option_and_no_other(self) -> None:
        specification = ConfigObj(
            CONFIGSPEC.split("\n"), interpolation=False, list_values=False, _inspec=True
        )
        dist = ConfigObj(uncommented(DIST.read_text()).split("\n"), interpolation=False)
        assert options(dist) == options(specification)

    def test_it_keeps_both_ports_to_this_machine_and_every_other_value_in_it_but_two_is_the_default(
        self, tmp_path: Path
    ) -> None:
        said = settings(tmp_path, uncommented(DIST.read_text()))
        loopback = "interface = 127.0.0.1\n"
        assumed = settings(
            tmp_path,
            f"[network]\n{loopback}[http]\n{loopback}port = 7000\n[images]\npath = images\n",
        )
        assert said == assumed

    def test_it_loads_as_it_is_without_a_warning(self, tmp_path: Path) -> None:
        # ImageMagick need not be there
        loaded = settings(tmp_path, DIST.read_text().replace("/usr/bin/convert", "/bin/sh"))
        assert loaded.http.port == 7000
        assert loaded.images.path == tmp_path / "images"
        assert loaded.warnings == ()

    def test_every_option_in_it_is_explained(self) -> None:
        for block in DIST.read_text().split("\n\n"):
            first = next(line for line in block.strip().splitlines() if not re.match(r"\[\w", line))
            assert first.startswith("# "), block


class DefaultTests:
    """What holds where the file says nothing: the table of the options."""

    def test_network(self, tmp_path: Path) -> None:
        network = settings(tmp_path).network
        assert (network.interface, network.port, network.endpoint) == ("0.0.0.0", 8085, None)
        assert (
            network.users,
            network.tls_certificate,
            network.tls_key,
            network.request_bytes_max,
        ) == (None, None, None, 64 << 20)

    def test_http(self, tmp_path: Path) -> None:
        http = settings(tmp_path).http
        assert (http.interface, http.port, http.endpoint) == ("0.0.0.0", None, None)
        assert http.extensions == ("jpg", "jpeg", "png", "gif", "webp", "avif")
        assert (http.width_max, http.quality_default, http.cache_bytes_max, http.status_users) == (
            1000,
            75,
            1 << 30,
            None,
        )
        assert (
            http.source_base,
            http.sources,
            http.allow_private_sources,
            http.outputs,
            http.secrets,
        ) == (None, (), False, (), ())

    def test_replication(self, tmp_path: Path) -> None:
        replication = settings(tmp_path).replication
        assert (replication.publish, replication.sync, replication.subscribe) == (None, None, ())
        assert (
            replication.acks_min,
            replication.ack_timeout_seconds,
            replication.keys,
            replication.cluster,
        ) == (0, 5.0, None, "imagepipe")

    def test_images(self, tmp_path: Path) -> None:
        images = settings(tmp_path).images
        assert (images.umask, images.io_threads, images.engine, images.queue) == (
            0o022,
            1,
            EngineChoice.AUTO,
            64,
        )
        assert (images.timeout_seconds, images.bytes_max, images.size_max) == (60.0, 32 << 20, 8192)

    def test_what_is_rendered_is_what_the_plan_assumes_too(self, tmp_path: Path) -> None:
        assert (
            settings(tmp_path).images.render
            == RenderSettings(pixels_max=100_000_000, strip=True, auto_orient=True, quality=85)
            == RenderSettings()
        )

    def test_imagemagick_and_graphite(self, tmp_path: Path) -> None:
        loaded = settings(tmp_path)
        assert loaded.imagemagick.convert == Path("/usr/bin/convert")
        assert loaded.imagemagick.env == {"MAGICK_THREAD_LIMIT": "1", "MAGICK_TIME_LIMIT": "60"}
        assert (loaded.graphite.host, loaded.graphite.port, loaded.graphite.prefix) == (
            None,
            2003,
            "stats.image_server",
        )
