"""What does a site's certificate authority hand out? Keys and certificates, made by openssl."""

import subprocess
from pathlib import Path
from typing import NamedTuple

PATIENCE_SECONDS = 60

# Of our own, so that the machine's openssl.cnf changes nothing.
CONFIGURATION = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
[client]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = clientAuth
"""


class Certificate(NamedTuple):
    """The files of one party."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.own = self._make(name, "authority")

    @property
    def ca_file(self) -> Path:
        return self.own.certificate

    def server(self, name: str = "broker") -> Certificate:
        """Return a certificate for a server on 127.0.0.1."""
        return self._make(name, "server", signed=True)

    def client(self, name: str) -> Certificate:
        """Return a certificate whose name is a node's."""
        return self._make(name, "client", signed=True)

    def _make(self, name: str, kind: str, *, signed: bool = False) -> Certificate:
        made = Certificate(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        configuration = self.folder / f"{name}.cnf"
        configuration.write_text(CONFIGURATION.format(name=name))
        signer = ["-CA", str(self.own.certificate), "-CAkey", str(self.own.key)] if signed else []
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            + ["-nodes", "-sha256", "-days", "3", "-config", str(configuration)]
            + ["-extensions", kind, "-keyout", str(made.key), "-out", str(made.certificate)]
            + signer,
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_SECONDS,
        )
        made.key.chmod(0o600)
        return made
