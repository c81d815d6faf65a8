"""`twistd imagepipe`: its options, and the daemon that it runs."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

from twisted.application.service import Service
from twisted.logger import Logger
from twisted.python import usage

from imagepipe import __version__
from imagepipe.config import load
from imagepipe.config.settings import Settings
from imagepipe.daemon.build import open_node
from imagepipe.daemon.logs import FORMATS, LoggedService, observer_for
from imagepipe.daemon.service import Daemon
from imagepipe.daemon.systemd import ServiceManager
from imagepipe.errors import ConfigError
from imagepipe.runtime.reactor import Reactor

_log = Logger()


class Options(usage.Options):
    """The command line after `twistd imagepipe`."""

    longdesc = (
        "A high-availability image store. The options of the configuration file are described in"
        " imagepipe.ini.dist."
    )
    optParameters: ClassVar = [
        ["config", "c", "imagepipe.ini", "The configuration file."],
        ["log-format", "l", "text", f"The format of the log: {' or '.join(FORMATS)}."],
    ]

    optFlags: ClassVar = [["profile", None, "Log how long each stage of each XML-RPC call takes."]]

    settings: Settings
    load: Callable[[], Settings]

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"imagepipe {__version__}")  # noqa: T201 - this option prints
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Read the configuration; exit and list its problems if there are any."""
        if self["log-format"] not in FORMATS:
            raise usage.UsageError(f"--log-format must be one of: {', '.join(FORMATS)}")
        # twistd may change the working directory later
        self.load = partial(load, Path(self["config"]).absolute())
        try:
            self.settings = self.load()
        except ConfigError as error:
            raise SystemExit(
                "\n".join(
                    [f"imagepipe cannot start: {self['config']} has errors:", *error.problems]
                )
            ) from None


def makeService(options: Options) -> Service:
    """The daemon for `options.settings`."""
    # the import installs the reactor, so it must come after twistd has handled --reactor
    from twisted.internet import reactor as installed  # noqa: PLC0415

    reactor = cast(Reactor, installed)

    # Without a handler, SIGHUP would end the process. The daemon installs its own when it starts.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = options.settings
    for warning in settings.warnings:
        _log.warn("{warning}", warning=warning)
    manager = ServiceManager(reactor, os.environ, os.getpid(), lambda: time.monotonic_ns() // 1000)
    return _logged(
        Daemon(
            reactor,
            settings,
            options.load,
            partial(open_node, reactor, profile=bool(options["profile"])),
            manager,
        ),
        options,
    )


def _logged(daemon: Service, options: Options) -> Service:
    """The daemon with our log, unless twistd was given another with --logger."""
    twistd: Any = options.parent
    if twistd["logger"]:
        return daemon
    try:
        service = LoggedService(observer_for(twistd, options["log-format"]))
    except OSError as error:
        raise SystemExit(f"imagepipe cannot start: cannot open the log: {error}") from None
    daemon.setServiceParent(service)
    return service
