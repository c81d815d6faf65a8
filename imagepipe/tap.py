"""`twistd imagepipe`: its options, and the daemon that they describe."""

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
        "A high-availability image store. See imagepipe.ini.dist for what the configuration file"
        " may say."
    )
    optParameters: ClassVar = [
        ["config", "c", "imagepipe.ini", "The configuration file."],
        ["log-format", "l", "text", f"How the log is written: {' or '.join(FORMATS)}."],
    ]

    optFlags: ClassVar = [
        ["profile", None, "Log where the time of each XML-RPC call goes, stage by stage."]
    ]

    settings: Settings
    load: Callable[[], Settings]

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"imagepipe {__version__}")  # noqa: T201 - it is asked to print
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Read the configuration; every problem in it ends the program."""
        if self["log-format"] not in FORMATS:
            raise usage.UsageError(f"--log-format is one of: {', '.join(FORMATS)}")
        # twistd may yet go to another folder
        self.load = partial(load, Path(self["config"]).absolute())
        try:
            self.settings = self.load()
        except ConfigError as error:
            raise SystemExit(
                "\n".join(
                    [f"imagepipe cannot start: {self['config']} has problems:", *error.problems]
                )
            ) from None


def makeService(options: Options) -> Service:
    """The daemon that `options.settings` describe."""
    # importing it installs it, which must wait for twistd's --reactor
    from twisted.internet import reactor as installed  # noqa: PLC0415

    reactor = cast(Reactor, installed)

    # Without a handler it would end the process; the daemon has its own from the moment at which it
    # starts.
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
    """The daemon with its log, unless twistd was told to use another."""
    twistd: Any = options.parent
    if twistd["logger"]:
        return daemon
    try:
        service = LoggedService(observer_for(twistd, options["log-format"]))
    except OSError as error:
        raise SystemExit(f"imagepipe cannot start: the log cannot be opened: {error}") from None
    daemon.setServiceParent(service)
    return service
