"""The contents of the files named in the settings: certificate, passwords, replication keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.ssl import CertificateOptions

from imagepipe.config.settings import Settings
from imagepipe.errors import StartError
from imagepipe.replication.zmq.curve_keys import NodeKeys, load_keys
from imagepipe.web.http.auth import parse_users
from imagepipe.web.http.tls import certificate_options


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the files contain. passwords, status_passwords: {name: bcrypt hash}."""

    tls: CertificateOptions | None
    passwords: Mapping[bytes, bytes] | None
    status_passwords: Mapping[bytes, bytes] | None
    keys: NodeKeys | None


def read_secrets(settings: Settings) -> Secrets:
    """Read the files named in the settings; blocks. Raises StartError."""
    network, http = settings.network, settings.http
    try:
        return Secrets(
            tls=certificate_options(network.tls_certificate, network.tls_key)
            if network.tls_certificate and network.tls_key
            else None,
            passwords=_passwords(network.users),
            status_passwords=_passwords(http.status_users) if http.is_enabled else None,
            keys=load_keys(settings.replication.keys) if settings.replication.keys else None,
        )
    except OSError as error:  # it existed when the settings were checked
        raise StartError(f"cannot read {error.filename}: {error.strerror}") from None


def _passwords(file: Path | None) -> Mapping[bytes, bytes] | None:
    return parse_users(file.read_text(errors="replace").splitlines(), str(file)) if file else None
