"""Every option of imagepipe.ini with its check and its default: ConfigObj's configspec, and the
functions that it names.

Nothing is required here: that `[images] path` must be given is a rule like any other, in `rules`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from imagepipe.config import path_values, quantities, values
from imagepipe.config.values import Value

Check = Callable[..., Any]

CONFIGSPEC = """
[network]
interface = address(default="0.0.0.0")
port = whole(0, 65535, default="8085")
endpoint = endpoint_or_none(default=None)
hosts = hosts_or_none(default=None)
users = file_or_none(default=None)
tls_certificate = file_or_none(default=None)
tls_key = file_or_none(default=None)
max_request = size("1 KiB", "4 GiB", default="64 MiB")
name = node_name_or_none(default=None)

[http]
interface = address(default="0.0.0.0")
port = whole_or_none(0, 65535, default=None)
endpoint = endpoint_or_none(default=None)
hosts = hosts_or_none(default=None)
extensions = extensions(default=list("jpg", "jpeg", "png", "gif", "webp", "avif"))
maximum_width = whole(1, 65535, default="1000")
default_quality = whole(1, 100, default="75")
source_base = url_or_none(default=None)
sources = sources_or_none(default=None)
allow_private_sources = switch(default="no")
outputs = renditions_or_none(default=None)
secrets = secrets_or_none(default=None)
secrets_file = secrets_file_or_none(default=None)
cache_size = size("0", "1024 TiB", default="1 GiB")
status_users = file_or_none(default=None)

[replication]
publish = zeromq_or_none(default=None)
sync = zeromq_or_none(default=None)
subscribe = peers_or_none(default=None)
min_acks = whole(0, 100, default="0")
ack_timeout = time("1 h", default="5 s")
keys = folder_or_none(default=None)
cluster = name(default="imagepipe")

[images]
path = path_or_none(default=None)
umask = umask(default="0022")
io_threads = whole(1, 64, default="1")
engine = choice("auto", "vips", "imagemagick", default="auto")
queue = whole(0, 100000, default="64")
timeout = time("1 d", default="60 s")
max_pixels = whole(1, 10000000000, default="100000000")
max_bytes = size("1", "4 GiB", default="32 MiB")
max_size = whole(1, 65535, default="8192")
strip = switch(default="yes")
auto_orient = switch(default="yes")
quality = whole(1, 100, default="85")

[imagemagick]
convert = program(default="/usr/bin/convert")
[[env]]
MAGICK_THREAD_LIMIT = variable(default="1")
MAGICK_TIME_LIMIT = variable(default="60")
__many__ = variable

[graphite]
host = host_or_none(default=None)
port = whole(1, 65535, default="2003")
prefix = prefix(default="stats.image_server")
"""


def checks(start: Path) -> dict[str, Check]:
    """The check functions by the names that the configspec uses; relative paths start at the folder
    `start`.

    Each also exists as `..._or_none`, which takes the word none.
    """

    def path(value: Value) -> Path:
        return path_values.absolute_path(start, value)

    functions: dict[str, Check] = {
        "path": path,
        "file": lambda value: path_values.readable_file(path(value)),
        "folder": lambda value: path_values.existing_folder(path(value)),
        "secrets_file": lambda value: path_values.secrets_in(
            path_values.readable_file(path(value))
        ),
        "program": path_values.program,
    }
    quantity_checks: tuple[Check, ...] = (
        quantities.whole,
        quantities.size,
        quantities.time,
        quantities.switch,
        quantities.umask,
    )
    value_checks: tuple[Check, ...] = (
        values.address,
        values.choice,
        values.endpoint,
        values.extensions,
        values.host,
        values.hosts,
        values.name,
        values.node_name,
        values.peers,
        values.prefix,
        values.renditions,
        values.secrets,
        values.sources,
        values.url,
        values.variable,
        values.zeromq,
    )
    for check in quantity_checks + value_checks:
        functions[check.__name__] = check
    return functions | {f"{key}_or_none": _or_none(check) for key, check in functions.items()}


def _or_none(check: Check) -> Check:
    def checked(value: Value, *arguments: str) -> Any:
        return (
            None if isinstance(value, str) and value.lower() == "none" else check(value, *arguments)
        )

    return checked
