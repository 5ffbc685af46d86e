"""TLS: a certificate that the hub makes once, or the user's own."""

from __future__ import annotations

import asyncio
import ssl
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from appliance.errors import SettingsError
from appliance.http import certificate
from appliance.hub import Claim
from tests.http.visitors import front

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mqtt.house import House

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((path / "tls.pem").read_bytes())


def test_it_is_made_once_for_the_hubs_names_and_kept(tmp_path: Path) -> None:
    names = certificate.names("192.0.2.1", hostname="kitchen.example.org")
    assert names == ["kitchen", "kitchen.local", "modemhub.local", "localhost", "127.0.0.1", "::1", "192.0.2.1"]
    served = certificate.ensure(tmp_path, names, now=lambda: NOW)
    made = read(tmp_path)
    assert stat.S_IMODE(served.cert.stat().st_mode) == 0o600
    assert (tmp_path / "tls-certificate.pem").read_bytes() in served.cert.read_bytes()
    assert b"PRIVATE" not in (tmp_path / "tls-certificate.pem").read_bytes()
    subjects = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert subjects.get_values_for_type(x509.DNSName) == names[:4]
    assert [str(each) for each in subjects.get_values_for_type(x509.IPAddress)] == names[4:]
    assert made.not_valid_before_utc < NOW
    assert made.not_valid_after_utc - NOW >= timedelta(days=3650)
    certificate.ensure(tmp_path, ["other"], now=lambda: NOW + timedelta(days=3600))
    assert read(tmp_path) == made
    expected = made.fingerprint(hashes.SHA256()).hex(":").upper()
    assert certificate.fingerprint(served.cert) == expected


def test_it_is_made_anew_near_its_end(tmp_path: Path) -> None:
    certificate.ensure(tmp_path, ["hub"], now=lambda: NOW)
    made = read(tmp_path)
    certificate.ensure(tmp_path, ["hub"], now=lambda: NOW + timedelta(days=3640))
    assert read(tmp_path) != made


@pytest.mark.parametrize("damage", [b"", b"no certificate", None])
def test_it_is_made_anew_when_it_is_damaged(tmp_path: Path, damage: bytes | None) -> None:
    certificate.ensure(tmp_path, ["hub"], now=lambda: NOW)
    file = tmp_path / "tls.pem"
    whole = file.read_bytes()
    file.write_bytes(whole[whole.index(b"-----BEGIN CERTIFICATE") :] if damage is None else damage)
    certificate.context(certificate.ensure(tmp_path, ["hub"], now=lambda: NOW))


def test_a_name_that_no_certificate_can_hold_is_left_out(tmp_path: Path) -> None:
    certificate.ensure(tmp_path, ["küche", "hub", "fe80::1%eth0"], now=lambda: NOW)
    subjects = read(tmp_path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert subjects.get_values_for_type(x509.DNSName) == ["hub"]
    assert [str(each) for each in subjects.get_values_for_type(x509.IPAddress)] == ["fe80::1"]


def test_who_listens_everywhere_is_found_by_its_own_addresses() -> None:
    assert "0.0.0.0" not in certificate.names("0.0.0.0")
    assert "::" not in certificate.names("::")


def test_files_that_are_no_certificate_are_wrong_settings(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("nothing")
    for cert in (tmp_path / "x.pem", tmp_path / "absent.pem"):
        with pytest.raises(SettingsError, match=r"http\.cert"):
            certificate.context(certificate.Served(cert, None))
        with pytest.raises(SettingsError, match=r"http\.cert"):
            certificate.fingerprint(cert)


@pytest.mark.asyncio
async def test_the_door_speaks_tls_and_says_by_which_certificate(home: House, tmp_path: Path) -> None:
    home.hub.claim = Claim(home.journal, tmp_path / "CLAIM.txt")
    async with front(home, parts={"directory": tmp_path}, tls=True) as visitors:
        fingerprint = certificate.fingerprint(tmp_path / "tls.pem")
        assert fingerprint in (tmp_path / "CLAIM.txt").read_text("ascii")
        assert visitors.door.url.startswith("https://127.0.0.1:")
        trust = ssl.create_default_context(cafile=str(tmp_path / "tls-certificate.pem"))
        token = await home.token("seer", "status")
        address = visitors.door.url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"}
        async with visitors.session.get(f"{address}/api/v1/status", ssl=trust, headers=headers) as answer:
            assert (await answer.json())["tls"] == {"fingerprint": fingerprint}
        trust.maximum_version = ssl.TLSVersion.TLSv1_2
        async with visitors.session.get(f"{address}/healthz", ssl=trust) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await visitors.session.get(f"http://127.0.0.1:{visitors.door.address[1]}/healthz")
        async with visitors.session.get(f"{address}/healthz", ssl=trust) as answer:
            assert answer.status == 200  # and nobody else was harmed


@pytest.mark.asyncio
async def test_the_users_own_certificate_is_served(home: House, tmp_path: Path) -> None:
    certificate.ensure(tmp_path, ["localhost", "127.0.0.1"])
    own = tmp_path / "own.pem"
    (tmp_path / "tls.pem").rename(own)
    async with front(home, cert=own) as visitors:
        assert visitors.door.fingerprint == certificate.fingerprint(own)
        assert not (tmp_path / "tls.pem").exists()
        reader, writer = await asyncio.open_connection(
            *visitors.door.address, ssl=ssl.create_default_context(cafile=str(own)), server_hostname="localhost"
        )
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"200"
        writer.close()
        await writer.wait_closed()
