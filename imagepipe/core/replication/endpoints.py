"""Where a peer accepts requests, relative to where it publishes.

    publish                     sync, by default            another one, as in a Head
    tcp://10.0.0.2:8086         tcp://10.0.0.2:8087         "9000": tcp://10.0.0.2:9000
    ipc:///run/imagepipe        ipc:///run/imagepipe.sync   "/run/other": ipc:///run/other

Only ports are announced, not hosts: a node listens on 0.0.0.0, and its peers know a name for it.
The default is not announced, so that a node can be reached through anything that maps both ports.
"""

_IPC = "ipc://"


def default_sync(publish: str) -> str:
    """Where requests go if nothing else is announced."""
    if publish.startswith(_IPC):
        return publish + ".sync"
    host, _, port = publish.rpartition(":")
    return f"{host}:{int(port) + 1 if int(port) else 0}"


def announced_sync(publish: str, sync: str) -> str:
    """What a node that listens on these endpoints announces in its Head. Both are the actual
    endpoints, with the port that the system chose.
    """
    if sync == default_sync(publish):
        return ""
    return sync.removeprefix(_IPC) if sync.startswith(_IPC) else sync.rpartition(":")[2]


def sync_of(publish: str, said: str) -> str:
    """Where to send requests to a peer that publishes at `publish` and announces `said`. An
    announcement that makes no sense for `publish` is ignored.
    """
    if publish.startswith(_IPC):
        return _IPC + said if said.startswith("/") else default_sync(publish)
    if said.isascii() and said.isdecimal() and 0 < int(said) <= 65535:
        return f"{publish.rpartition(':')[0]}:{int(said)}"
    return default_sync(publish)
