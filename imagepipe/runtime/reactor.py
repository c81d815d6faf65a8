"""The reactor as imagepipe needs it; only `tap` knows the global one."""

from twisted.internet.interfaces import (
    IReactorCore,
    IReactorPluggableNameResolver,
    IReactorSocket,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
)


class NetworkReactor(IReactorTime, IReactorTCP, IReactorUNIX):
    """What connects, listens and keeps time."""


class ResolvingReactor(IReactorTime, IReactorTCP, IReactorPluggableNameResolver):
    """What connects to servers by name and keeps time."""


class Reactor(NetworkReactor, ResolvingReactor, IReactorCore, IReactorSocket, IReactorThreads):
    """Everything that the daemon needs of it."""
