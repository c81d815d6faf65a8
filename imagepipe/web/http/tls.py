"""TLS for servers, from PEM files, and the factory that accepts connections with or without it;
that can change while it is listening.
"""

import re
from pathlib import Path
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory
from twisted.internet.protocol import ServerFactory
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from imagepipe.errors import StartError

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def certificate_options(certificate: Path, key: Path) -> CertificateOptions:
    """TLS as Twisted recommends it (1.2 and later), with the server's certificate first in
    `certificate` and its chain after it.

    Raises StartError if the files are not a certificate and a key that match.
    """
    try:
        certificates = [
            crypto.load_certificate(crypto.FILETYPE_PEM, block)
            for block in _CERTIFICATE.findall(certificate.read_bytes())
        ]
        if not certificates:
            raise StartError(
                f"[network] tls_certificate: {certificate} contains no PEM certificate"
            )
        # An empty passphrase: OpenSSL would ask for one on the terminal, and a daemon has none.
        private_key = crypto.load_privatekey(crypto.FILETYPE_PEM, key.read_bytes(), passphrase=b"")
        options = CertificateOptions(
            privateKey=private_key, certificate=certificates[0], extraCertChain=certificates[1:]
        )
        options.getContext().check_privatekey()
    except (OSError, SSL.Error, crypto.Error, ValueError) as error:
        raise StartError(
            f"[network] tls_certificate {certificate} and tls_key {key} cannot be used: {error}"
        ) from None
    return options


@implementer(IProtocolNegotiationFactory)
class TlsFactory(ServerFactory):
    """The factory of a port: passes connections to the factory `site`, over TLS once it has a
    certificate. Open connections stay as they are.
    """

    noisy = False

    def __init__(self, site: Any) -> None:
        self.site = site
        self._factory: Any = site

    def set_certificate(self, options: CertificateOptions | None) -> None:
        """Use TLS with this certificate for new connections; None: no TLS."""
        context: Any = options  # Twisted's own interfaces have no types
        self._factory = (
            TLSMemoryBIOFactory(context, isClient=False, wrappedFactory=self.site)
            if options
            else self.site
        )

    def acceptableProtocols(self) -> list[bytes]:
        """What a client that negotiates (ALPN) on an `ssl:` endpoint may choose from."""
        protocols: list[bytes] = self.site.acceptableProtocols()
        return protocols

    def startFactory(self) -> None:
        self.site.doStart()

    def stopFactory(self) -> None:
        self.site.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._factory.buildProtocol(addr)
