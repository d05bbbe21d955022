"""Certificates for tests: a CA of our own, and what it signs, as PEM files in a folder."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.now(UTC).replace(microsecond=0)


class Authority:
    """A CA; `sign` writes `<name>.pem` and `<name>.key`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder, self.path = folder, folder / f"{name}.pem"
        self._key, self._name = ec.generate_private_key(ec.SECP256R1()), _called(f"{name} of a test")
        self._cert = _issued(self._name, self._name, self._key.public_key(), self._key, days=30, names=(), ca=True)
        self.path.write_bytes(self._cert.public_bytes(serialization.Encoding.PEM))

    def sign(self, name: str, *names: str, days: float = 30, client: bool = False) -> tuple[Path, Path]:
        """Certificate and key for host names and addresses, or for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = _issued(_called(name), self._name, key.public_key(), self._key, days=days, names=names, client=client)
        cert_path, key_path = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        key_path.write_bytes(_pem(key))
        cert_path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return cert_path, key_path


def encrypted(key: Path, phrase: bytes) -> None:
    """The same key behind a pass phrase."""
    held = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        held.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(phrase)
        )
    )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _issued(subject, issuer, public, key, *, days, names, ca=False, client=False):  # type: ignore[no-untyped-def]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=60))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if names:
        made = made.add_extension(x509.SubjectAlternativeName([_general(n) for n in names]), critical=False)
    if not ca:
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        made = made.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return made.sign(key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
