"""What imagepipe.ini says, as plain values: one frozen class a section, one field an option, paths
absolute, numbers in base units.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imagepipe.config.server_endpoints import speaks_tls
from imagepipe.core.rendering.plan import RenderSettings


class EngineChoice(enum.Enum):
    """Which engine renders. AUTO: libvips for what it reads and writes, ImageMagick for the
    rest.
    """

    AUTO = "auto"
    VIPS = "vips"
    IMAGEMAGICK = "imagemagick"


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """`[network]`: XML-RPC. `endpoint`, a server string of Twisted, stands in place of `interface`
    and `port`; port 0 is any free one.

    name: what the node calls itself, for people to read.
    """

    interface: str
    port: int
    endpoint: str | None
    hosts: tuple[str, ...]
    users: Path | None
    tls_certificate: Path | None
    tls_key: Path | None
    request_bytes_max: int
    name: str

    @property
    def is_encrypted(self) -> bool:
        """Whether the port speaks TLS."""
        return self.tls_certificate is not None or speaks_tls(self.endpoint or "")


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """`[http]`: the image server. It is off when there is neither `port` nor `endpoint`."""

    interface: str
    port: int | None
    endpoint: str | None
    hosts: tuple[str, ...]
    extensions: tuple[str, ...]
    width_max: int
    quality_default: int
    source_base: str | None
    sources: tuple[str, ...]
    allow_private_sources: bool
    outputs: tuple[str, ...]
    secrets: tuple[str, ...] = field(repr=False)
    cache_bytes_max: int
    status_users: Path | None

    @property
    def is_enabled(self) -> bool:
        """Whether there is anything to listen on."""
        return self.port is not None or self.endpoint is not None

    @property
    def is_encrypted(self) -> bool:
        """Whether the port speaks TLS."""
        return speaks_tls(self.endpoint or "")


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer to pull from: the endpoint that it publishes on, and the name that the operator gave
    it, if any.
    """

    name: str | None
    endpoint: str


@dataclass(frozen=True, slots=True)
class ReplicationSettings:
    """`[replication]`. `sync` is filled in from `publish` where the file has none."""

    publish: str | None
    sync: str | None
    subscribe: tuple[Peer, ...]
    acks_min: int
    ack_timeout_seconds: float
    keys: Path | None
    cluster: str


@dataclass(frozen=True, slots=True)
class ImagesSettings:
    """`[images]`. `queue` is how many jobs may wait, `timeout_seconds` what one may take,
    `bytes_max` the size of a source.
    """

    path: Path
    umask: int
    io_threads: int
    engine: EngineChoice
    queue: int
    timeout_seconds: float
    pixels_max: int
    bytes_max: int
    size_max: int
    strip: bool
    auto_orient: bool
    quality: int

    @property
    def render(self) -> RenderSettings:
        """The part that decides what is rendered."""
        return RenderSettings(
            pixels_max=self.pixels_max,
            strip=self.strip,
            auto_orient=self.auto_orient,
            quality=self.quality,
        )


@dataclass(frozen=True, slots=True)
class ImageMagickSettings:
    """`[imagemagick]`: the program, and what its environment has besides."""

    convert: Path
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GraphiteSettings:
    """`[graphite]`: where events are counted; off when `host` is None."""

    host: str | None
    port: int
    prefix: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole file. `warnings`: a sentence for each thing in it that is no error but will not do
    what its author may expect.
    """

    network: NetworkSettings
    http: HttpSettings
    replication: ReplicationSettings
    images: ImagesSettings
    imagemagick: ImageMagickSettings
    graphite: GraphiteSettings
    warnings: tuple[str, ...]
