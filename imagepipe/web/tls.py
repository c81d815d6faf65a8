"""The server's side of TLS, from PEM files."""

import re
from pathlib import Path

from OpenSSL import SSL, crypto
from twisted.internet.ssl import CertificateOptions

from imagepipe.errors import StartError

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def certificate_options(certificate: Path, key: Path) -> CertificateOptions:
    """TLS as Twisted recommends it (1.2 and later), with the server's certificate first in `certificate` and its chain after it.

    Raises StartError if the files are no certificate and key, or do not belong together.
    """
    try:
        certificates = [crypto.load_certificate(crypto.FILETYPE_PEM, block) for block in _CERTIFICATE.findall(certificate.read_bytes())]
        if not certificates:
            raise StartError(f"[network] tls_certificate: {certificate} has no certificate in PEM form")
        # An empty passphrase: OpenSSL would ask for one on the terminal, and a daemon has none.
        private_key = crypto.load_privatekey(crypto.FILETYPE_PEM, key.read_bytes(), passphrase=b"")
        options = CertificateOptions(privateKey=private_key, certificate=certificates[0], extraCertChain=certificates[1:])
        options.getContext().check_privatekey()
    except (OSError, SSL.Error, crypto.Error, ValueError) as error:
        raise StartError(f"[network] tls_certificate {certificate} and tls_key {key} cannot be used: {error}") from None
    return options
