"""The update bundle ``modemhub-<version>-rpi-arm64.raucb`` of a slot's image, its index, and the development authority.

Promise: what comes out is checked as a device checks it before it is handed out: against the keyring that goes into
the image, for signing code. The slot image in it is the card's own, octet for octet; the manifest says its version,
its build, and which hubs can read the journal that this one writes.

What it does not do: it makes no release authority (README.md tells how, on a machine that is on no network), and the
same inputs do not give the same octets: RAUC salts the hash tree anew each time, and a signature has its time in it and
is itself random. The image in it, its digest in the manifest, and the size are the same.

Theory of operation. Two keys sign under two regimes::

    MODEMHUB_UPDATE_KEY, MODEMHUB_UPDATE_CERT   of a signing certificate under the release authority; a key may be a
                                                PKCS#11 URL, and then stays in its token
    MODEMHUB_UPDATE_KEYRING                     the authorities that the image trusts, one PEM file, one or several

    none of them set                            an authority of this checkout's own, made once below .cache/image/keys,
                                                for development: an image trusts only it, and the build says so

``python -m image.update.bundle ROOT.EXT4 --version V --build B`` makes one by hand.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from image import debian
from image.building import Impossible, say, source_date

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Signer", "announce", "authority", "build", "keyring", "signer"]

ROOT: Final = Path(__file__).resolve().parents[2]
KEYS: Final = ROOT / ".cache" / "image" / "keys"
LOG: Final = ROOT / ".cache" / "image" / "bundle.log"
DIST: Final = ROOT / "dist"
SCHEMA: Final = ROOT / "appliance" / "store" / "schema"
BOARD: Final = "rpi-arm64"
COMPATIBLE: Final = f"modemhub-{BOARD}"
SQUASH: Final = "-comp zstd -Xcompression-level 12"
"""217 MB in 12 s where the best takes minutes for 5 % less."""
BEGIN: Final = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
"""A device has no clock, and believes the date of its build until it hears the time: certificates are older."""
AUTHORITY_END: Final = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
"""No end (RFC 5280 §4.1.2.5): an authority in devices that nobody looks at must not end before them."""
SIGNER_END: Final = dt.datetime(2050, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Signer:
    """What signs, and what is trusted."""

    key: str
    """A file, or a PKCS#11 URL."""
    certificate: Path
    keyring: Path
    development: bool = False


# -------------------------------------------------------------------------------------------------------------- keys


def authority(directory: Path = KEYS) -> Signer:
    """The development authority, made if it is not there: its certificate is the keyring, its signer's key signs."""
    directory = directory.resolve()
    made = Signer(
        str(directory / "signer.key"), directory / "signer.pem", directory / "authority.pem", development=True
    )
    if made.keyring.exists():
        return made
    from cryptography import x509  # noqa: PLC0415 - only for the first build
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def usage(*, signs_certificates: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
            content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    issuer = named("modemhub development authority")
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("authority", "signer")}
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys["authority"].public_key())
    certificates = {}
    for name, subject, end in (
        ("authority", issuer, AUTHORITY_END),
        ("signer", named("modemhub development signer"), SIGNER_END),
    ):
        is_authority = name == "authority"
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(keys[name].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(BEGIN)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(usage(signs_certificates=is_authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[name].public_key()), critical=False)
            .add_extension(above, critical=False)
        )
        if not is_authority:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=True)
        certificates[name] = builder.sign(keys["authority"], hashes.SHA256())
    for name, key in keys.items():
        octets = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(directory / f"{name}.key", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(octets)
    for name in ("signer", "authority"):  # the keyring comes last: it says that all is there
        (directory / f"{name}.pem").write_bytes(certificates[name].public_bytes(serialization.Encoding.PEM))
    return made


def signer(environment: Mapping[str, str] = os.environ) -> Signer:
    """What signs by the environment, or the development authority.

    Raises:
        Impossible: only a part is named, or a file is not there.
    """
    names = ("MODEMHUB_UPDATE_KEY", "MODEMHUB_UPDATE_CERT", "MODEMHUB_UPDATE_KEYRING")
    key, certificate, trusted = (environment.get(name, "") for name in names)
    if not (key or certificate or trusted):
        return authority()
    missing = [name for name, value in zip(names, (key, certificate, trusted), strict=True) if not value]
    if missing:
        raise Impossible(f"for a release, set {' and '.join(missing)} too (image/update/README.md)")
    lost = [path for path in (certificate, trusted) if not Path(path).is_file()]
    if not key.startswith("pkcs11:") and not Path(key).is_file():
        lost.insert(0, key)
    if lost:
        raise Impossible(f"not there: {', '.join(lost)}")
    return Signer(
        key if key.startswith("pkcs11:") else str(Path(key).resolve()),
        Path(certificate).resolve(),
        Path(trusted).resolve(),
    )


def keyring(environment: Mapping[str, str] = os.environ) -> bytes:
    """The authorities that the image trusts; an image can be built where no key is.

    Raises:
        Impossible: the file that is named is not there.
    """
    named = environment.get("MODEMHUB_UPDATE_KEYRING")
    if named:
        if not Path(named).is_file():
            raise Impossible(f"not there: {named}")
        return Path(named).read_bytes()
    trusted = authority()
    say("development: this image trusts only the authority of this checkout (.cache/image/keys). No release!")
    return trusted.keyring.read_bytes()


# ------------------------------------------------------------------------------------------------------------ bundle


def schemas(directory: Path = SCHEMA) -> tuple[int, int]:
    """The newest schema of the journal, and the oldest whose hub reads it."""
    files = sorted(directory.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    newest = int(files[-1].name[:4])
    said = re.findall(r"'readable_by',\s*'(\d+)'", "".join(file.read_text(encoding="utf-8") for file in files))
    return newest, int(said[-1]) if said else newest


def manifest(*, version: str, build: str, compatible: str = COMPATIBLE, schema: tuple[int, int]) -> str:
    """The bundle's manifest; RAUC adds the digests."""
    newest, readable = schema
    return f"""[update]
compatible={compatible}
version={version}
build={build}

[bundle]
format=verity

[image.rootfs]
filename=rootfs.ext4

[meta.modemhub]
schema={newest}
readable-by={readable}
"""


CHECK: Final = """[system]
compatible={compatible}
bootloader=noop
bundle-formats=verity

[keyring]
path={keyring}
check-purpose=codesign
"""


def build(
    root: Path,
    *,
    version: str,
    build: str,
    into: Path = DIST,
    by: Signer | None = None,
    compatible: str = COMPATIBLE,
    check: bool = True,
) -> Path:
    """Make a bundle of a slot's image.

    Args:
        root: the image, ext4.
        version: of what is in it.
        build: its build's name; the same version is only installed over another build.
        into: the directory of the bundle.
        by: what signs; None: what the environment says.
        compatible: the board; another one is for tests.
        check: see that a device would trust it; False is for tests.

    Raises:
        Impossible: the tools are missing, or the certificate does not sign code under the keyring.
    """
    by = by or signer()
    into.mkdir(parents=True, exist_ok=True)
    LOG.parent.mkdir(parents=True, exist_ok=True)
    bundle = into.resolve() / f"modemhub-{version}-{compatible.removeprefix('modemhub-')}.raucb"
    bundle.unlink(missing_ok=True)
    binds = [into.resolve(), by.certificate.parent, by.keyring.parent]
    if not by.key.startswith("pkcs11:"):
        binds.append(Path(by.key).parent)
    with tempfile.TemporaryDirectory(dir=root.resolve().parent, prefix=".bundle.") as scratch:
        place = Path(scratch)
        (place / "in").mkdir()
        (place / "in/rootfs.ext4").hardlink_to(root.resolve())
        text = manifest(version=version, build=build, compatible=compatible, schema=schemas())
        (place / "in/manifest.raucm").write_text(text, encoding="utf-8")
        binds = sorted({*binds, place})
        debian.in_tools(
            [
                "rauc", f"--cert={by.certificate}", f"--key={by.key}", "bundle", f"--mksquashfs-args={SQUASH}",
                place / "in", bundle,
            ],
            binds=binds, log=LOG, SOURCE_DATE_EPOCH=str(source_date()),
        )  # fmt: skip
        if check:
            (place / "check.conf").write_text(CHECK.format(compatible=compatible, keyring=by.keyring), encoding="utf-8")
            try:
                debian.in_tools(["rauc", f"--conf={place}/check.conf", "info", bundle], binds=binds, log=LOG)
            except Impossible as error:
                bundle.unlink(missing_ok=True)
                raise Impossible(f"no device with this keyring would take the bundle: {error}") from error
    return bundle


def announce(bundle: Path, *, version: str, notes: str = "", min_version: str = "") -> Path:
    """The index that ``[update] url`` points to, beside the bundle: ``modemhub.json``."""
    with bundle.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    words = {"version": version, "url": bundle.name, "sha256": sha256, "size": bundle.stat().st_size}
    if notes:
        words["notes"] = notes
    if min_version:
        words["min_version"] = min_version
    index = bundle.with_name("modemhub.json")
    index.write_text(json.dumps(words, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return index


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 made, 1 impossible here."""
    parser = argparse.ArgumentParser(prog="python -m image.update.bundle", description="Make an update bundle.")
    parser.add_argument("root", type=Path, metavar="ROOT.EXT4", help="the slot's image")
    parser.add_argument("--version", required=True)
    parser.add_argument("--build", required=True, help="the build's name, BUILD of the image's /etc/modemhub-image")
    parser.add_argument("--into", type=Path, default=DIST, metavar="DIR", help="where to (default: dist)")
    parser.add_argument("--notes", default="", help="what is new, for the index")
    parser.add_argument("--min-version", default="", help="an older one must be brought to something between first")
    given = parser.parse_args(argv)
    try:
        bundle = build(given.root, version=given.version, build=given.build, into=given.into)
    except Impossible as error:
        print(f"image.update.bundle: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    index = announce(bundle, version=given.version, notes=given.notes, min_version=given.min_version)
    print(f"{bundle}\n{index}")  # noqa: T201 - its answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
