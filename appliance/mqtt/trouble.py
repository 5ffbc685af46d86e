"""PURE: why there is no link to the broker, in plain words and with what to do about it.

The library's own words follow in parentheses: they are what people search for.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.mqtt.settings import MqttSettings

__all__ = ["in_words"]

_NOT_YET, _EXPIRED, _REVOKED = 9, 10, 23
_NO_AUTHORITY = frozenset({18, 19, 20, 21})
_OTHER_NAME = frozenset({62, 64})
"""X509_V_ERR_… of OpenSSL (x509_vfy.h)."""


def in_words(error: OSError, settings: MqttSettings, *, connecting: bool = True) -> str:
    """What an error of TCP or TLS means for somebody who can change settings and certificates.

    Args:
        error: of the socket.
        settings: that it was opened by.
        connecting: it never came to a CONNECT.
    """
    where = f"{settings.host}:{settings.port}"
    match error:
        case ssl.SSLCertVerificationError():
            return f"{_certificate(error, settings)} ({error.verify_message})"
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "HTTP_REQUEST" | "RECORD_LAYER_FAILURE"):
            words = f"what answers at {where} does not speak TLS: is it mqtt:// there, or another port?"
        case ssl.SSLError(reason=str() as reason) if "CERTIFICATE_REQUIRED" in reason or (
            "HANDSHAKE_FAILURE" in reason and settings.cert is None
        ):
            words = "the broker wants a certificate from us: set mqtt.cert and mqtt.key"
        case ssl.SSLError(reason=str() as reason) if "CERTIFICATE_EXPIRED" in reason:
            words = "the broker says that our own certificate (mqtt.cert) has expired"
        case ssl.SSLError(reason=str() as reason) if "UNKNOWN_CA" in reason or "BAD_CERTIFICATE" in reason:
            words = "the broker does not trust our own certificate (mqtt.cert)"
        case ssl.SSLError():
            words = f"TLS with {where} failed"
        case socket.gaierror():
            words = f'the name "{settings.host}" is not known: is it spelled right, and is the name service reachable?'
        case ConnectionRefusedError():
            words = f"nobody answers at {where}: is the broker running, and listening there?"
        case ConnectionResetError() if connecting and settings.tls:
            words = f"{where} hangs up instead of speaking TLS: is it mqtt:// there, or another port?"
        case TimeoutError():
            words = f"no answer from {where} in time: is the address right, and nothing in between that blocks it?"
        case _:
            words = ""
    said = getattr(error, "reason", None) or error.strerror or str(error) or type(error).__name__
    return f"{words} ({said})" if words else said


def _certificate(error: ssl.SSLCertVerificationError, settings: MqttSettings) -> str:
    if error.verify_code in _OTHER_NAME:
        return (
            f"the broker's certificate is not valid for '{settings.server_name or settings.host}': if it is the right"
            " broker, set mqtt.server_name to the name in its certificate"
        )
    if error.verify_code in _NO_AUTHORITY:
        return (
            "the broker's certificate is signed by nobody who is trusted here: set mqtt.ca to the PEM file of the"
            " authority that signed it"
        )
    match error.verify_code:
        case code if code == _EXPIRED:
            return "the broker's certificate has expired (or this machine's clock is wrong)"
        case code if code == _NOT_YET:
            return "the broker's certificate is not valid yet: is this machine's clock right?"
        case code if code == _REVOKED:
            return "the broker's certificate has been revoked"
        case _:
            return "the broker's certificate cannot be trusted"
