"""Whether anyone who reaches the machine can store and delete: a warning at every start and reload, and of `imagepipe check-config`."""

from ipaddress import ip_address

from imagepipe.config.settings import NetworkSettings
from imagepipe.core.server_endpoints import interface_of


def exposure(network: NetworkSettings, address: str | None) -> tuple[str, ...]:
    """A warning if anyone who reaches the machine can store and delete. address: what the port listens on; None for a Unix socket."""
    if network.users or network.is_encrypted or address is None or _is_loopback(address):
        return ()
    where = f"endpoint = {network.endpoint}" if network.endpoint else f"interface = {network.interface}, port {network.port}"
    listens = f" (which is {address})" if network.endpoint else ""
    warning = f"[network] {where}{listens}: anyone who can reach it can store, replace and delete images, and the traffic is in clear;"
    return (f"{warning} set users and tls_certificate, or listen on 127.0.0.1",)


def configured_address(network: NetworkSettings) -> str | None:
    """The address that the settings name. None for a Unix socket, and for a socket of systemd's, which only a running daemon can ask."""
    return interface_of(network.endpoint) if network.endpoint else network.interface


def _is_loopback(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address == "localhost"
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback
