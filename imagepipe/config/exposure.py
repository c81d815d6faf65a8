"""A warning if anyone who can reach this machine can store and delete images."""

from ipaddress import ip_address

from imagepipe.config.server_endpoints import interface_of
from imagepipe.config.settings import NetworkSettings


def exposure(network: NetworkSettings, address: str | None) -> tuple[str, ...]:
    """The warnings. address: where the port listens; None for a Unix socket."""
    if network.users or network.is_encrypted or address is None or _is_loopback(address):
        return ()
    where = f"interface = {network.interface}, port {network.port}"
    if network.endpoint:
        where = f"endpoint = {network.endpoint} (which is {address})"
    warning = (
        f"[network] {where}: anyone who can reach it can store, replace and delete images, "
        "and the traffic is not encrypted; set users and tls_certificate, or listen on 127.0.0.1"
    )
    return (warning,)


def configured_address(network: NetworkSettings) -> str | None:
    """The address in the settings; None for a Unix socket, or one that systemd opens."""
    return interface_of(network.endpoint) if network.endpoint else network.interface


def _is_loopback(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address == "localhost"
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback
