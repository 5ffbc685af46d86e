"""Bundles as the device's own RAUC sees them, with the image's own settings; and the keys that they are signed with."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from image import debian
from image.building import Impossible
from image.device.release import Manifest
from image.device.system import ATTEMPTS, COMPATIBLE
from image.update import bundle
from image.update.bundle import Authority, announce, authority, build, development, manifest, schemas

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "image/card/overlay/etc/rauc/system.conf"


# ------------------------------------------------------------------------------------------------------ keys


def test_the_development_authority_is_made_once_and_nobody_else_reads_its_keys(tmp_path: Path) -> None:
    made = development(tmp_path / "keys")
    assert development(tmp_path / "keys").keyring == made.keyring
    modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "keys").iterdir()}
    assert {name: mode for name, mode in modes.items() if name.endswith(".key")} == {
        "authority.key": 0o600, "signer.key": 0o600,
    }  # fmt: skip
    above = x509.load_pem_x509_certificate(made.keyring)
    assert made.certificate is not None
    signer = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    signer.verify_directly_issued_by(above)
    usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CODE_SIGNING]
    # a device that has not heard the time yet, and one that nobody has looked at for twenty years
    for each in (above, signer):
        assert each.not_valid_before_utc.year == 2020
        assert each.not_valid_after_utc.year >= 2050


def test_a_release_names_all_three_and_they_are_there(tmp_path: Path) -> None:
    names = ("MODEMHUB_UPDATE_KEY", "MODEMHUB_UPDATE_CERT", "MODEMHUB_UPDATE_KEYRING")
    files = {name: tmp_path / name for name in names}
    for file in files.values():
        file.write_text(file.name)
    words = {name: str(file) for name, file in files.items()}
    found = authority(environment=words)
    assert (found.key, found.certificate, found.keyring) == (words[names[0]], files[names[1]], names[2].encode())
    for name in names[:2]:
        with pytest.raises(Impossible, match=f"set {name} too"):
            authority(environment={key: value for key, value in words.items() if key != name})
    with pytest.raises(Impossible, match="set MODEMHUB_UPDATE_KEYRING too"):
        authority(files[names[0]], files[names[1]], environment={})
    with pytest.raises(Impossible, match=r"not there: .*gone"):
        authority(environment={**words, names[0]: str(tmp_path / "gone")})
    token = authority(environment={**words, names[0]: "pkcs11:token=release"})
    assert token.key == "pkcs11:token=release"
    only_trusts = authority(environment={names[2]: words[names[2]]})
    assert only_trusts.keyring
    with pytest.raises(Impossible, match="no key to sign"):
        build(tmp_path / "root.ext4", only_trusts, tmp_path / "b.raucb")


# ------------------------------------------------------------------------------------------------------ words


def test_the_manifest_names_the_journals_that_can_be_read() -> None:
    newest, readable = schemas()
    files = sorted((ROOT / "appliance/store/schema").glob("*.sql"))
    assert newest == int(files[-1].name[:4])
    assert 1 <= readable <= newest
    text = manifest(version="1.0", build="b", schema=(newest, readable))
    assert f"readable-by={readable}" in text


def test_a_schema_that_says_nothing_is_read_by_nobody_older(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (b);")
    assert schemas(tmp_path) == (1, 1)
    (tmp_path / "0002_b.sql").write_text("INSERT INTO meta (key, value) VALUES ('readable_by', '1') ON CONFLICT …;")
    (tmp_path / "0003_c.sql").write_text("-- more")
    assert schemas(tmp_path) == (3, 1)


def test_the_device_and_its_raucs_settings_say_the_same() -> None:
    text = CONFIG.read_text(encoding="utf-8")
    settings = dict(re.findall(r"^([a-z-]+)=(.*)$", text, re.MULTILINE))
    assert settings["compatible"] == COMPATIBLE == bundle.COMPATIBLE
    assert int(settings["boot-attempts"]) == ATTEMPTS
    assert settings["bundle-formats"] == "verity"
    overlay = CONFIG.parents[2]
    for handler in ("pre-install", "post-install"):
        file = overlay / settings[handler].lstrip("/")
        assert os.access(file, os.X_OK)
        assert f"modemhub-device update {file.name}" in file.read_text(encoding="utf-8")


def test_the_script_that_ends_a_boot_is_understood_by_the_shell() -> None:
    script = CONFIG.parents[2] / "usr/lib/modemhub-device/overdue"
    subprocess.run(["sh", "-n", script], check=True)


# ------------------------------------------------------------------------------------------------------ the real RAUC


def _why_not() -> str | None:
    if os.geteuid() != 0:
        return "RAUC runs in the tree of tools, and that takes root"
    if not list(debian.CACHE.glob("tools-*")):
        return "the tree of tools is not here yet: make image builds it"
    return None if shutil.which("mke2fs") else "mke2fs is missing"


needs_rauc = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "tree/etc"
    tree.mkdir(parents=True)
    (tree / "modemhub-image").write_text("VERSION=0.2.0\nBUILD=abc\nBOARD=rpi-arm64\n")
    (tree / "noise").write_bytes(os.urandom(100_000))
    file = tmp_path / "root.ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree.parent, file, "2M"], check=True)
    return file


def asked(file: Path, trusted: Path, *options: str) -> dict[str, Any]:
    """What the device's RAUC says of a bundle; raises Impossible where it does not trust it."""
    config = file.with_suffix(".conf")
    config.write_text(CONFIG.read_text().replace("path=keyring.pem", f"path={trusted}"))
    answer = file.with_suffix(".json")
    log = file.with_suffix(".log")
    script = f"rauc --conf={config} info --output-format=json-2 {' '.join(options)} {file} > {answer}"
    debian.in_tools(["sh", "-c", script], binds=[file.parent, trusted.parent], log=log)
    words: dict[str, Any] = json.loads(answer.read_text())
    return words


@needs_rauc
def test_the_device_trusts_what_was_built_and_reads_what_it_is(root: Path, tmp_path: Path) -> None:
    by = development(tmp_path / "keys")
    file = build(root, by, tmp_path / "out/b.raucb", version="0.2.0")
    said = asked(file, by.trusted)
    assert said["update"] == {"compatible": COMPATIBLE, "version": "0.2.0", "build": "abc"}
    assert said["bundle"]["format"] == "verity"
    assert len(said["manifest-hash"]) == 64
    # what RAUC 1.13 tells its handlers, which is what is below "meta", is what our own command reads
    shell = tmp_path / "out/words"
    script = f"rauc --conf={file.with_suffix('.conf')} info --output-format=shell {file} > {shell}"
    debian.in_tools(["sh", "-c", script], binds=[file.parent, by.trusted.parent], log=tmp_path / "log")
    words = dict(re.findall(r"^(RAUC_META_\w+)='(.*)'$", shell.read_text(), re.MULTILINE))
    told = Manifest.handed(words)
    assert (told.compatible, told.version, told.build) == (COMPATIBLE, "0.2.0", "abc")
    assert said["images"][0]["checksum"] == hashlib.sha256(root.read_bytes()).hexdigest()
    assert str(told.readable_by) == said["meta"]["modemhub"]["readable-by"]
    index = json.loads(announce(file, version="0.2.0").read_text())
    assert index["url"] == "b.raucb"
    assert index["size"] == file.stat().st_size


@needs_rauc
def test_an_image_of_another_version_than_was_asked_for_makes_no_bundle(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Impossible, match=r"is version 0\.2\.0, and 0\.3\.0 was asked for"):
        build(root, development(tmp_path / "keys"), tmp_path / "b.raucb", version="0.3.0")


def _of_a_server(by: Authority, place: Path) -> Authority:
    """A certificate of the same authority that is for a web server."""
    key = ec.generate_private_key(ec.SECP256R1())
    above = x509.load_pem_x509_certificate(by.keyring)
    secret = serialization.load_pem_private_key((by.trusted.parent / "authority.key").read_bytes(), None)
    assert isinstance(secret, ec.EllipticCurvePrivateKey)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]))
        .issuer_name(above.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(bundle.BEGIN)
        .not_valid_after(bundle.SIGNER_END)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    place.mkdir()
    (place / "server.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (place / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Authority(str(place / "server.key"), place / "server.pem", by.trusted)


@needs_rauc
def test_no_device_trusts_a_stranger_a_web_servers_key_or_a_changed_bundle(root: Path, tmp_path: Path) -> None:
    by = development(tmp_path / "keys")
    stranger = development(tmp_path / "stranger")
    server = _of_a_server(by, tmp_path / "server")
    with pytest.raises(Impossible, match="no device with this keyring would take"):
        build(root, Authority(stranger.key, stranger.certificate, by.trusted), tmp_path / "b.raucb")
    with pytest.raises(Impossible, match="unsuitable certificate purpose"):
        build(root, server, tmp_path / "b.raucb")
    file = build(root, by, tmp_path / "out/b.raucb")
    with pytest.raises(Impossible, match="signature verification failed"):
        asked(file, stranger.trusted)
    octets = bytearray(file.read_bytes())
    octets[-500] ^= 1  # in the signature, which stands at the end
    file.write_bytes(octets)
    with pytest.raises(Impossible, match=r"verif|parse|signature"):
        asked(file, by.trusted)


@needs_rauc
def test_a_device_with_two_authorities_trusts_bundles_of_both(root: Path, tmp_path: Path) -> None:
    old, new = development(tmp_path / "old"), development(tmp_path / "new")
    both = tmp_path / "out/keyring.pem"
    both.parent.mkdir()
    both.write_bytes(old.keyring + new.keyring)
    for number, by in enumerate((old, new)):
        file = build(root, by, tmp_path / f"out/{number}.raucb")
        assert asked(file, both)["update"]["version"] == "0.2.0"
