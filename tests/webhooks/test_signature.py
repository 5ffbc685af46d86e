"""Signing: the published vector, and an independent computation by openssl."""

from __future__ import annotations

import base64
import shutil
import subprocess

import pytest

from appliance.webhooks.signature import key_of, sign

VECTOR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The vector of the reference libraries of Standard Webhooks 1.0.0 (``sign function works``)."""


def test_the_published_vector() -> None:
    signed = sign(
        key_of(VECTOR_SECRET),
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_openssl_computes_the_same() -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: apt install openssl")
    body = '{"text":"Żółć 👍"}'.encode()
    key = key_of("a plain secret of some length")
    told = subprocess.run(
        [openssl, "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary"],
        input=b"abcd_7.1700000000." + body,
        capture_output=True,
        check=True,
    ).stdout
    wanted = "v1," + base64.b64encode(told).decode()
    assert sign(key, message_id="abcd_7", timestamp=1_700_000_000, body=body) == wanted


def test_a_secret_is_base64_after_its_prefix_and_else_its_own_octets() -> None:
    assert key_of("whsec_" + base64.b64encode(bytes(24)).decode()) == bytes(24)
    assert key_of("whsec_" + base64.b64encode(bytes(64)).decode()) == bytes(64)
    assert key_of("x" * 24) == b"x" * 24
    assert key_of("ü" * 24) == ("ü" * 24).encode()


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "short",
        "x" * 23,
        "whsec_",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + "!" * 40,
        "whsec_" + base64.b64encode(bytes(32)).decode().rstrip("="),
        "whsec_" + "ü" * 40,
    ],
)
def test_a_weak_or_broken_secret_is_refused_without_being_told(secret: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - its text is judged below
        key_of(secret)
    assert len(secret) < 7 or secret.removeprefix("whsec_") not in str(refused.value)
