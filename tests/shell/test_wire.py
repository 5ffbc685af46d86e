"""One request: whom it trusts, and what becomes of every failure."""

from __future__ import annotations

import datetime as dt
import hashlib
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.errors import HubBrokeOff, HubUnreachable, RefusedByHub, SettingsError
from appliance.shell.client import HubClient
from appliance.shell.wire import fingerprint_of, refusal
from tests.shell.answering import answering, ok, refused

if TYPE_CHECKING:
    from pathlib import Path


class Own:
    """A certificate that a hub has made for itself, named localhost."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "cert.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "modemhub")])
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=2))
            .not_valid_after(now + dt.timedelta(days=2))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.sha256 = made.fingerprint(hashes.SHA256()).hex()
        pem = made.public_bytes(serialization.Encoding.PEM)
        self.file.write_bytes(pem)
        keys = directory / "key.pem"
        keys.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.file, keys)


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path)


@pytest.mark.parametrize("spelled", ["{}", "SHA256:{}", "colons", "UPPER"])
def test_a_certificate_is_trusted_by_its_fingerprint_whatever_its_name(own: Own, spelled: str) -> None:
    pairs = ":".join(own.sha256[at : at + 2] for at in range(0, 64, 2))
    fingerprint = {"colons": pairs.upper(), "UPPER": own.sha256.upper()}.get(spelled, spelled.format(own.sha256))
    with answering(ok({"status": "ok"}), tls=own.context) as server:
        HubClient(server.url, "t", fingerprint=fingerprint).check()
    assert server.asked[0].headers["Authorization"] == "Bearer t"
    assert fingerprint_of(own.file) == own.sha256


def test_another_certificate_is_told_nothing(own: Own) -> None:
    other = hashlib.sha256(b"another").hexdigest()
    with answering(ok({}), tls=own.context) as server, pytest.raises(HubUnreachable, match=own.sha256):
        HubClient(server.url, "secret", fingerprint=other).check()
    assert [asked.headers for asked in server.asked] in ([], [{}])


def test_an_unknown_authority_is_told_nothing_and_the_way_out_is_said(own: Own) -> None:
    with answering(ok({}), tls=own.context) as server, pytest.raises(HubUnreachable, match="--fingerprint"):
        HubClient(server.url, "secret").check()
    assert server.asked == []


def test_a_file_of_certificates_trusts_by_name(own: Own) -> None:
    with answering(ok({"status": "ok"}), tls=own.context) as server:
        HubClient(f"https://localhost:{server.port}", "t", ca=own.file).check()
    with answering(ok({}), tls=own.context) as server, pytest.raises(HubUnreachable, match="not trusted"):
        HubClient(server.url, "secret", ca=own.file).check()  # by an address that it does not name


@pytest.mark.parametrize(
    ("url", "wishes"),
    [
        ("127.0.0.1:8080", {}),
        ("ftp://hub", {}),
        ("http://hub:99999", {}),
        ("http://user:word@hub", {}),
        ("https://hub", {"fingerprint": "12:34"}),
        ("http://hub", {"fingerprint": "0" * 64}),
        ("https://hub", {"ca": "/nowhere.pem"}),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_asked(url: str, wishes: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        HubClient(url, "t", **wishes)  # type: ignore[arg-type] # a file's name does as well


def test_a_token_that_would_write_headers_is_refused() -> None:
    with pytest.raises(SettingsError, match="token"):
        HubClient("http://hub", "t\r\nX-Evil: 1")


def test_a_refusal_carries_all_that_the_problem_says() -> None:
    answer = refused(429, "quota_exceeded", retry_after=7, pointer="/to")
    with answering(answer) as server, pytest.raises(RefusedByHub) as caught:
        HubClient(server.url, "t").modems()
    error = caught.value
    told = (error.status, error.code, error.detail, error.pointer, error.retry_after)
    assert told == (429, "quota_exceeded", "because of quota_exceeded", "/to", 7)


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'"x"', b"{}", b"\xff"])
def test_a_refusal_of_something_else_is_told_by_its_status(content: bytes) -> None:
    error = refusal(502, content)
    assert (error.status, error.code) == (502, "http_502")
    assert "502 Bad Gateway" in error.detail


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"])
def test_an_answer_that_breaks_off_may_have_been_done(answer: bytes) -> None:
    with answering(answer) as server, pytest.raises(HubBrokeOff):
        HubClient(server.url, "t").modems()


def test_what_is_no_hub_is_said_to_be_none() -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<ok>"
    with answering(page) as server, pytest.raises(HubUnreachable, match="no hub"):
        HubClient(server.url, "t").check()


def test_a_hub_behind_a_path_of_a_proxy() -> None:
    with answering(ok({"modems": []})) as server:
        assert HubClient(server.url + "/sms/", "t").modems() == []
    assert server.asked[0].line == "GET /sms/api/v1/modems HTTP/1.1"
