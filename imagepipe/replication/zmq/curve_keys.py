"""CURVE keys: this node's key pair, and the keys of the peers that may connect.

    keys/
      server.key_secret       this node's key pair; readable by its owner only
      server.key              the public half, to be copied to the peers
      authorized/NAME.key     a peer's server.key: NAME may connect, and NAME@tcp://... is
                              authenticated with it

The files are ZeroMQ certificates as written by zmq.auth. In memory a key is what the file has: 40
characters of Z85.
"""

import os
import shutil
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import zmq
from zmq.auth import create_certificates, load_certificate
from zmq.utils import z85

from imagepipe.errors import StartError, quoted

SECRET_FILE = "server.key_secret"  # noqa: S105 - a file's name
PUBLIC_FILE = "server.key"
AUTHORIZED_FOLDER = "authorized"

_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """A node's key pair, and the public keys of the peers that may connect, by name."""

    folder: Path
    public: bytes
    secret: bytes = field(repr=False)
    authorized: Mapping[str, bytes]

    def key_of(self, name: str) -> bytes:
        """The public key of a peer; StartError names the missing file. The name is not looked up on
        the disk, however odd it is.
        """
        key = self.authorized.get(name)
        if key is None:
            raise StartError(
                f"there is no key for peer {quoted(name)}: copy its {PUBLIC_FILE} to"
                f" {self.folder / AUTHORIZED_FOLDER}/NAME.key"
            )
        return key

    def name_of(self, key: bytes) -> str | None:
        """The name of the peer with this public key; None if its key has been removed."""
        return next((name for name, known in self.authorized.items() if known == key), None)


def load_keys(folder: Path) -> NodeKeys:
    """Load the keys in `folder`; StartError says what is missing, malformed or exposed."""
    secret_file, public_file, authorized = (
        folder / SECRET_FILE,
        folder / PUBLIC_FILE,
        folder / AUTHORIZED_FOLDER,
    )
    public, secret = _certificate(secret_file)
    if secret is None:
        raise StartError(
            f"{secret_file} contains no secret key; create a key pair with `imagepipe keygen`"
        )
    if secret_file.stat().st_mode & 0o077:
        raise StartError(
            f"{secret_file} is readable by others; run chmod 600 on it, or create a new key pair"
            " if someone may have read it"
        )
    if zmq.curve_public(secret) != public or _certificate(public_file)[0] != public:
        raise StartError(
            f"{public_file} is not the public half of {secret_file}; create a new key pair with"
            " `imagepipe keygen`"
        )
    return NodeKeys(folder, public, secret, MappingProxyType(_load_authorized(authorized)))


def create_keys(folder: Path) -> None:
    """Write a new key pair and an empty `authorized` into `folder`, which is created if necessary;
    StartError if there is a key pair already.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in (folder / SECRET_FILE, folder / PUBLIC_FILE):
            if os.path.lexists(file):
                raise StartError(
                    f"{file} already exists; remove it if its key is no longer used, or choose"
                    " another folder"
                )
        # zmq.auth leaves the file's mode to the umask: in a folder of mode 700 nobody can open the
        # secret before its mode is set.
        private = Path(tempfile.mkdtemp(prefix=".keygen-", dir=folder))
        try:
            create_certificates(private, "server")
            (private / SECRET_FILE).chmod(0o600)
            (private / PUBLIC_FILE).chmod(0o644)
            for name in (SECRET_FILE, PUBLIC_FILE):
                (private / name).rename(folder / name)
        finally:
            shutil.rmtree(private)
        (folder / AUTHORIZED_FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        raise StartError(f"cannot create keys in {folder}: {error.strerror or error}") from None


def _load_authorized(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise StartError(
            f"there is no folder {folder}; create it and copy each peer's {PUBLIC_FILE} into it"
            " as NAME.key"
        )
    authorized: dict[str, bytes] = {}
    for file in sorted(folder.glob("*.key")):
        if file.name.startswith("."):  # a temporary file of an editor or a copy
            continue
        authorized[file.name.removesuffix(".key")], secret = _certificate(file)
        if secret is not None:
            raise StartError(
                f"{file} contains the peer's secret key; replace it with the peer's {PUBLIC_FILE},"
                " and give the peer a new key pair"
            )
    return authorized


def _certificate(file: Path) -> tuple[bytes, bytes | None]:
    """The public key in a file, and the secret key if there is one."""
    try:
        if not file.is_file():
            raise StartError(
                f"there is no key file {file}; create a key pair with `imagepipe keygen`"
            )
        public, secret = load_certificate(file)
    except ValueError:
        raise StartError(f"{file} contains no public key") from None
    except OSError as error:
        raise StartError(f"cannot read {file}: {error.strerror or error}") from None
    for key in (public, secret):
        if key is not None and not _is_key(key):
            raise StartError(f"{file} contains a malformed key")
    return public, secret


def _is_key(key: bytes) -> bool:
    try:
        return len(z85.decode(key)) == _KEY_BYTES
    # a wrong length, a wrong character, or a group of five beyond 32 bits
    except (ValueError, KeyError, struct.error):
        return False
