"""Whether anyone who reaches the machine can store and delete: a warning at every start, and of `imagepipe check-config`."""

from ipaddress import ip_address

from imagepipe.config.settings import NetworkSettings


def exposure(network: NetworkSettings) -> tuple[str, ...]:
    """A warning if anyone who reaches the machine can store and delete."""
    if network.users or network.tls_certificate or not _is_public(network):
        return ()
    where = f"endpoint = {network.endpoint}" if network.endpoint else f"interface = {network.interface}, port {network.port}"
    warning = f"[network] {where}: anyone who can reach it can store, replace and delete images, and the traffic is in clear;"
    return (f"{warning} set users and tls_certificate, or listen on 127.0.0.1",)


def _is_public(network: NetworkSettings) -> bool:
    if not network.endpoint:
        return not ip_address(network.interface).is_loopback
    kind, *arguments = network.endpoint.replace("\\:", ";").split(":")
    # systemd's sockets are the unit's business, a unix socket has its mode.
    return kind in ("tcp", "tcp6") and not {"interface=127.0.0.1", "interface=localhost", "interface=;;1"} & set(arguments)
