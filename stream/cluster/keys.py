"""Keys for TLS between the computers of a group: an authority of their own, and one key that it signed."""

import datetime
import os
from pathlib import Path
from typing import Final

from stream.types import StreamError

CA: Final = "authority.pem"
CERTIFICATE: Final = "certificate.pem"
KEY: Final = "key.pem"
_YEARS: Final = 10
NEEDS: Final = "--make-keys needs the package cryptography: pip install cryptography==50.0.2"


def make_keys(folder: Path) -> list[str]:
    """Make a folder with new keys; its files can be read by this user only.

    The key of the authority itself is not kept: who has the folder belongs to the group, and nobody can be added to it.

    Returns:
        Lines for the user.

    Raises:
        StreamError: if the package is missing, there is something in the folder, or it cannot be written.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as error:
        raise StreamError(NEEDS) from error
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hypothesis-stream group")])
    node = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hypothesis-stream node")])
    now = datetime.datetime.now(datetime.UTC)
    authority_key, node_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def signed(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, authority: bool) -> x509.CertificateBuilder:
        begun = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(public)
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        )  # fmt: skip
        return begun.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)

    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    ca = signed(name, authority_key.public_key(), authority=True).sign(authority_key, hashes.SHA256())
    own = signed(node, node_key.public_key(), authority=False).add_extension(uses, critical=False)
    certificate = own.add_extension(names, critical=False).sign(authority_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    secret = node_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files = {CA: ca.public_bytes(pem), CERTIFICATE: certificate.public_bytes(pem), KEY: secret}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StreamError(f"--make-keys {folder}: there is something in it; give a new folder")
        for file, content in files.items():
            with open(os.open(folder / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(content)
    except OSError as error:
        raise StreamError(f"--make-keys {folder}: cannot be written: {error.strerror or error}") from error
    return [
        f"keys: {folder} (copy it to every computer of the group by a way you trust, and give --keys there; good for "
        f"{_YEARS} years)"
    ]
