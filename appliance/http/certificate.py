"""The certificate that the hub makes for itself, so that TLS needs nobody's leave.

Promise
    ``ensure`` returns a certificate and key that a TLS server can use for at least MARGIN more days. It makes them at
    the first start, and anew near their end or when they are unreadable; else the same ones are kept, so that a browser
    that was told to trust them goes on to. Key and certificate stand in one file of mode 0600 that is replaced as a
    whole: a power cut leaves the old pair or the new one. The certificate alone stands beside it, for those who want to
    give it to their devices.

What it does not do
    It is nobody's authority: who connects compares the fingerprint, which the log, ``CLAIM.txt`` and ``GET /status``
    tell, or has the user's own certificate instead (``http.cert``).

cryptography is imported only when TLS is on: it is 10 MB.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from appliance.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["Served", "context", "ensure", "fingerprint", "names"]

FILE = "tls.pem"
"""Key and certificate, beside the store."""

PUBLIC = "tls-certificate.pem"

YEARS = 10

MARGIN = timedelta(days=30)
"""A certificate that ends sooner is made anew at the start."""

EARLIER = timedelta(days=2)
"""The certificate begins before it is made: clocks of a house differ, and a board without a battery is late."""


@dataclass(frozen=True, slots=True)
class Served:
    """What the TLS server is given: two files, the same one where the hub made them."""

    cert: Path
    key: Path | None


def ensure(
    directory: Path, subjects: Iterable[str], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Served:
    """The hub's own certificate in ``directory``, made if need be for these names and addresses.

    Raises:
        OSError: it can be neither read nor written.
    """
    file = directory / FILE
    if not _fits(file, now()):
        key, certificate = _make(list(subjects), now())
        _write(file, key + certificate, mode=0o600)
        _write(directory / PUBLIC, certificate, mode=0o644)
    return Served(file, None)


def context(served: Served) -> ssl.SSLContext:
    """A server's context: TLS 1.2 and newer.

    Raises:
        SettingsError: these files are no certificate and its key.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        made.load_cert_chain(served.cert, served.key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"http.cert, http.key: {served.cert}: {error}") from error
    return made


def fingerprint(cert: Path) -> str:
    """SHA-256 of the first certificate in a PEM file, as browsers show it.

    Raises:
        SettingsError: there is none.
    """
    from cryptography import x509  # noqa: PLC0415 - only where TLS is on
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    try:
        certificates = x509.load_pem_x509_certificates(cert.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"http.cert: {cert}: {error}") from error
    return certificates[0].fingerprint(hashes.SHA256()).hex(":").upper()


def names(listen: str, *, hostname: str | None = None) -> list[str]:
    """The names and addresses that the hub is found by: its own, modemhub's, and those that it listens on."""
    host = (hostname or socket.gethostname()).partition(".")[0]
    found = [host, f"{host}.local", "modemhub.local", "localhost", "127.0.0.1", "::1"]
    if listen in {"", "0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        with suppress(OSError):
            found += [str(info[4][0]) for info in socket.getaddrinfo(host, None)]
    else:
        found.append(listen)
    return list(dict.fromkeys(found))


def _fits(file: Path, now: datetime) -> bool:
    from cryptography import x509  # noqa: PLC0415 - only where TLS is on

    try:
        (certificate,) = x509.load_pem_x509_certificates(file.read_bytes())
        context(Served(file, None))
    except (OSError, ValueError, SettingsError):
        return False
    return certificate.not_valid_after_utc - now >= MARGIN


def _make(subjects: list[str], now: datetime) -> tuple[bytes, bytes]:
    """A key (EC P-256) and a certificate that it signs itself, as PEM."""
    from cryptography import x509  # noqa: PLC0415 - only where TLS is on
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"modemhub {subjects[0]}"[:64])])
    alternatives: list[x509.GeneralName] = []
    for subject in subjects:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(subject.partition("%")[0])))
        except ValueError:
            with suppress(ValueError):  # a host's name that no certificate can hold
                alternatives.append(x509.DNSName(subject))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)


def _write(file: Path, content: bytes, *, mode: int) -> None:
    """All or nothing, with this mode from its first moment."""
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as written:
        written.write(content)
        written.flush()
        os.fsync(written.fileno())
    fresh.replace(file)
