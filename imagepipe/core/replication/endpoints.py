"""Where a peer is asked, beside where it publishes.

    publish                     sync, by default            what a Head says of another one
    tcp://10.0.0.2:8086         tcp://10.0.0.2:8087         "9000": tcp://10.0.0.2:9000
    ipc:///run/imagepipe        ipc:///run/imagepipe.sync   "/run/other": ipc:///run/other

Only ports are said, not hosts: a node listens on 0.0.0.0, and its peers know a name for it. Where
the default holds nothing is said, so that a node can be reached through whatever maps both ports.
"""

_IPC = "ipc://"


def default_sync(publish: str) -> str:
    """Where requests go if nothing else is said."""
    if publish.startswith(_IPC):
        return publish + ".sync"
    host, _, port = publish.rpartition(":")
    return f"{host}:{int(port) + 1 if int(port) else 0}"


def announced_sync(publish: str, sync: str) -> str:
    """What a node that listens on these two says in its Head; both are the actual endpoints, with
    the port that the system chose.
    """
    if sync == default_sync(publish):
        return ""
    return sync.removeprefix(_IPC) if sync.startswith(_IPC) else sync.rpartition(":")[2]


def sync_of(publish: str, said: str) -> str:
    """Where to ask a peer that one knows as `publish` and that says `said`; what makes no sense
    beside `publish` counts as nothing said.
    """
    if publish.startswith(_IPC):
        return _IPC + said if said.startswith("/") else default_sync(publish)
    if said.isascii() and said.isdecimal() and 0 < int(said) <= 65535:
        return f"{publish.rpartition(':')[0]}:{int(said)}"
    return default_sync(publish)
