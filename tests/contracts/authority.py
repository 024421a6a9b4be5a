"""An authority of one's own, as networks of companies have, and a server that it vouches for."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_ADDRESS = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


def make_authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The file of its certificate, and what a server at 127.0.0.1 needs to speak TLS."""
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    own = _certificate("authority", authority, authority)
    theirs = _certificate("server", server, authority)
    bundle, chain = folder / "authority.pem", folder / "server.pem"
    bundle.write_bytes(own.public_bytes(serialization.Encoding.PEM))
    key = server.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    chain.write_bytes(key + theirs.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return bundle, context


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, authority: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    own = key is authority
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=own, path_length=None), critical=True)
    )
    if not own:
        builder = builder.add_extension(x509.SubjectAlternativeName([_ADDRESS]), critical=False)
    return builder.sign(authority, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
