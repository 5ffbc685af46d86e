"""The update bundle ``modemhub-<version>-rpi-arm64.raucb`` of a slot's image, its index, and the development authority.

Promise: what comes out is checked as a device checks it before it is handed out: against the keyring that goes into
the image, for signing code. The slot image in it is the card's own, octet for octet; the manifest says its version,
its build, and which hubs can read the journal that this one writes.

What a bundle says of its version and build is read out of the image in it, so the two cannot differ.

What it does not do: it makes no release authority (README.md tells how, on a machine that is on no network), and the
same inputs do not give the same octets: RAUC salts the hash tree anew each time, and a signature has its time in it and
is itself random. The image in it, its digest in the manifest, and the size are the same.

Theory of operation. Two keys sign under two regimes::

    MODEMHUB_UPDATE_KEY, MODEMHUB_UPDATE_CERT   of a signing certificate under the release authority; a key may be a
                                                PKCS#11 URL, and then stays in its token
    MODEMHUB_UPDATE_KEYRING                     the authorities that the image trusts, one PEM file, one or several

    none of them                                an authority of this checkout's own, made once below .cache/image/keys,
                                                for development: an image trusts only it, and the build says so

The options ``--key`` and ``--certificate`` of ``python -m image.card`` stand in for the first two.
``python -m image.update.bundle ROOT.EXT4`` makes a bundle by hand.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from image import debian
from image.building import Impossible, say, sha256, source_date

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Authority", "announce", "authority", "build"]

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
class Authority:
    """What signs, and what is trusted."""

    key: str
    """A file, or a PKCS#11 URL; empty: images can be built here, no bundles."""
    certificate: Path | None
    """The signer's, for signing code."""
    trusted: Path
    """PEM; the authorities above it."""

    @property
    def keyring(self) -> bytes:
        """What the image trusts."""
        return self.trusted.read_bytes()


# -------------------------------------------------------------------------------------------------------------- keys


def authority(
    key: Path | str | None = None, certificate: Path | None = None, *, environment: Mapping[str, str] = os.environ
) -> Authority:
    """What signs by the options, else by the environment, else for development.

    Raises:
        Impossible: only a part is named, or a file is not there.
    """
    named = {
        "MODEMHUB_UPDATE_KEY": str(key or environment.get("MODEMHUB_UPDATE_KEY", "")),
        "MODEMHUB_UPDATE_CERT": str(certificate or environment.get("MODEMHUB_UPDATE_CERT", "")),
        "MODEMHUB_UPDATE_KEYRING": environment.get("MODEMHUB_UPDATE_KEYRING", ""),
    }
    signs, shows, trusted = named.values()
    if not any(named.values()):
        say("development: this image trusts only the authority of this checkout (.cache/image/keys). It is no release")
        return development()
    if not trusted or bool(signs) != bool(shows):
        missing = [name for name, value in named.items() if not value]
        raise Impossible(f"for a release, set {' and '.join(missing)} too (image/update/README.md)")
    files = [path for path in (signs, shows, trusted) if path and not path.startswith("pkcs11:")]
    if lost := [path for path in files if not Path(path).is_file()]:
        raise Impossible(f"not there: {', '.join(lost)}")
    return Authority(
        signs if signs.startswith("pkcs11:") or not signs else str(Path(signs).resolve()),
        Path(shows).resolve() if shows else None,
        Path(trusted).resolve(),
    )


def development(directory: Path = KEYS) -> Authority:
    """The authority of this checkout, made if it is not there.

    Raises:
        Impossible: the package that makes keys is missing.
    """
    directory = directory.resolve()
    made = Authority(str(directory / "signer.key"), directory / "signer.pem", directory / "authority.pem")
    if made.trusted.exists():
        return made
    try:
        from cryptography import x509  # noqa: PLC0415 - only for the first build
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415
    except ImportError as error:
        raise Impossible(f"keys cannot be made: {error}; make setup fetches what is missing") from error

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


# ------------------------------------------------------------------------------------------------------------ bundle


def schemas(directory: Path = SCHEMA) -> tuple[int, int]:
    """The newest schema of the journal, and the oldest whose hub reads it."""
    files = sorted(directory.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    newest = int(files[-1].name[:4])
    said = re.findall(r"'readable_by',\s*'(\d+)'", "".join(file.read_text(encoding="utf-8") for file in files))
    return newest, int(said[-1]) if said else newest


def manifest(*, version: str, build: str, compatible: str = COMPATIBLE, schema: tuple[int, int]) -> str:
    """The bundle's manifest; RAUC adds the digests. RAUC 1.13 tells handlers what is below ``meta`` alone."""
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
compatible={compatible}
version={version}
build={build}
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


def image_of(root: Path) -> dict[str, str]:
    """``/etc/modemhub-image`` of a slot's image.

    Raises:
        Impossible: it has none.
    """
    place = root.resolve().parent
    with tempfile.TemporaryDirectory(dir=place, prefix=".bundle.") as scratch:
        file = Path(scratch) / "image"
        argv: list[str | Path] = ["debugfs", "-R", f"dump /etc/modemhub-image {file}", root.resolve()]
        debian.in_tools(argv, binds=[place], log=_log())
        if not file.exists() or not file.stat().st_size:
            raise Impossible(f"{root} is no slot of ours: it has no /etc/modemhub-image")
        return dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines() if "=" in line)


def build(
    root: Path,
    by: Authority,
    out: Path,
    *,
    version: str | None = None,
    compatible: str = COMPATIBLE,
) -> Path:
    """Make a bundle of a slot's image.

    Args:
        root: the image, ext4.
        by: what signs.
        out: the bundle.
        version: what the image must say that it is; None: whatever it says.
        compatible: the board; another one is for tests.

    Raises:
        Impossible: the tools are missing, the image is something else, or the certificate does not sign code under
            the authorities that are trusted.
    """
    if not by.key or by.certificate is None:
        raise Impossible("there is no key to sign the bundle with: set MODEMHUB_UPDATE_KEY and MODEMHUB_UPDATE_CERT")
    image = image_of(root)
    if version not in {None, image.get("VERSION")}:
        raise Impossible(f"{root} is version {image.get('VERSION')}, and {version} was asked for")
    out.parent.mkdir(parents=True, exist_ok=True)
    out = out.resolve()
    out.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=root.resolve().parent, prefix=".bundle.") as scratch:
        place = Path(scratch)
        (place / "in").mkdir()
        (place / "in/rootfs.ext4").hardlink_to(root.resolve())
        text = manifest(version=image["VERSION"], build=image["BUILD"], compatible=compatible, schema=schemas())
        (place / "in/manifest.raucm").write_text(text, encoding="utf-8")
        places = {out.parent, place, by.certificate.parent, by.trusted.parent}
        if not by.key.startswith("pkcs11:"):
            places.add(Path(by.key).parent)
        binds = sorted(places)
        squash = f"--mksquashfs-args={SQUASH}"
        argv: list[str | Path] = [
            "rauc",
            f"--cert={by.certificate}",
            f"--key={by.key}",
            "bundle",
            squash,
            place / "in",
            out,
        ]
        debian.in_tools(argv, binds=binds, log=_log(), SOURCE_DATE_EPOCH=str(source_date()))
        (place / "check.conf").write_text(CHECK.format(compatible=compatible, keyring=by.trusted), encoding="utf-8")
        try:
            debian.in_tools(["rauc", f"--conf={place}/check.conf", "info", out], binds=binds, log=_log())
        except Impossible as error:
            out.unlink(missing_ok=True)
            raise Impossible(f"no device with this keyring would take the bundle: {error}") from error
    return out


def _log() -> Path:
    LOG.parent.mkdir(parents=True, exist_ok=True)
    return LOG


def announce(bundle: Path, *, version: str, notes: str = "", min_version: str = "") -> Path:
    """The index that ``[update] url`` points to, beside the bundle: ``modemhub.json``."""
    words = {"version": version, "url": bundle.name, "sha256": sha256(bundle), "size": bundle.stat().st_size}
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
    parser.add_argument("--into", type=Path, default=DIST, metavar="DIR", help="where to (default: dist)")
    parser.add_argument("--notes", default="", help="what is new, for the index")
    parser.add_argument("--min-version", default="", help="an older one must be brought to something between first")
    given = parser.parse_args(argv)
    try:
        by = authority()
        version = image_of(given.root)["VERSION"]
        bundle = build(given.root, by, given.into / f"modemhub-{version}-{BOARD}.raucb")
    except Impossible as error:
        print(f"image.update.bundle: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    index = announce(bundle, version=version, notes=given.notes, min_version=given.min_version)
    print(f"{bundle}\n{index}")  # noqa: T201 - its answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
