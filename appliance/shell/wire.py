"""One request to a hub: where it is, by which token, whom to trust; every failure is one of our exceptions.

Theory of operation: a connection for each request. ``HubUnreachable`` is raised while nothing was asked yet,
``HubBrokeOff`` from the first octet of the request on: only then can the hub have done something.

Trust (``https://``): by the machine's own authorities; with ``ca`` by that file alone; with ``fingerprint`` by the
SHA-256 of the hub's certificate alone, whatever name and dates it has: so a certificate is trusted which the hub made
for itself. The fingerprint is compared before the token is sent.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from appliance.errors import HubBrokeOff, HubUnreachable, RefusedByHub, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["API", "Wire", "fingerprint_of", "refusal"]

API = "/api/v1"

DEFAULT_PORTS = {"http": 80, "https": 443}

PROBLEM_OCTETS = 1 << 20
"""Of a refusal's body that is read: a hub's own are far shorter, and whatever else answers may be endless."""


class Wire:
    """The way to one hub.

    Args:
        url: ``http://host:port`` or ``https://host:port``, with a path where the hub stands behind a proxy.
        token: the bearer token; empty for public routes only.
        ca: file of PEM certificates that are trusted instead of the machine's.
        fingerprint: SHA-256 of the hub's certificate in hex, colons or not.
        timeout: seconds that the hub may be silent.

    Raises:
        SettingsError: one of them cannot be.
    """

    def __init__(self, url: str, token: str, *, ca: Path | None, fingerprint: str | None, timeout: float) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError as error:
            raise SettingsError(f"url: {url}: {error}") from error
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc or parts.query:
            raise SettingsError(f'url: "{url}": give it as in http://192.168.1.5:8080 or https://hub.example:8080')
        if not (token.isascii() and token.isprintable()):
            raise SettingsError("token: has characters that no token of a hub has")
        if parts.scheme == "http" and (ca is not None or fingerprint is not None):
            raise SettingsError(f"url: {url}: without TLS there is no certificate to trust: https:// is meant?")
        self.url = url
        self.timeout = timeout
        self._token = token
        self._host, self._port = parts.hostname, port or DEFAULT_PORTS[parts.scheme]
        self._base = parts.path.rstrip("/")
        self._pinned = None if fingerprint is None else _sha256(fingerprint)
        self._tls = _trust(ca, pinned=self._pinned is not None) if parts.scheme == "https" else None

    def open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> http.client.HTTPResponse:
        """Ask, and return the response with its body unread; the caller closes it, and the connection with it.

        Raises:
            HubUnreachable: nothing was asked.
            HubBrokeOff: no answer came.
            RefusedByHub: the answer is a refusal.
        """
        connection = self._connect(self.timeout if timeout is None else timeout)
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{self._base}{path}" + (f"?{urlencode(asked)}" if asked else "")
        sent = {"Connection": "close", **(headers or {})}
        content = None
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
            content = json.dumps(body, ensure_ascii=False).encode()
        try:
            connection.request(method, target, content, sent)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise HubBrokeOff(f"the hub at {self.url} broke off: {_words(error)}") from error
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:  # the other side would go on: from here on the response alone holds the socket
            connection.sock.close()
        if response.status >= 400:
            raise refusal(response.status, _content(response, PROBLEM_OCTETS))
        return response

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """The JSON of the answer; raises as :meth:`open`."""
        response = self.open(method, path, **more)
        try:
            with response:
                return json.loads(response.read())
        except (OSError, http.client.HTTPException) as error:
            raise HubBrokeOff(f"the hub at {self.url} broke off: {_words(error)}") from error
        except ValueError as error:
            raise HubUnreachable(f"what answers at {self.url} is no hub: its answer is not JSON") from error

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        try:
            connection.connect()
            if self._pinned is not None:
                self._compare(connection)
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise HubUnreachable(
                f"the certificate of {self.url} is not trusted ({error.verify_message});"
                " a hub's own is trusted by --fingerprint SHA256 or --ca FILE"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise HubUnreachable(f"no hub answers at {self.url} ({_words(error)}): is modemhub running?") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _compare(self, connection: http.client.HTTPConnection) -> None:
        assert isinstance(connection.sock, ssl.SSLSocket)
        shown = hashlib.sha256(connection.sock.getpeercert(binary_form=True) or b"").hexdigest()
        if shown != self._pinned:
            raise HubUnreachable(
                f"the certificate of {self.url} is another one than the one that is trusted: its SHA-256 is {shown}"
            )


def refusal(status: int, content: bytes) -> RefusedByHub:
    """What the hub refuses, from its problem document (RFC 9457); or what stands before it, from the status alone."""
    try:
        told = json.loads(content)
        retry_after = told.get("retry_after")
        return RefusedByHub(
            status,
            str(told["code"]),
            str(told.get("detail") or told.get("title") or told["code"]),
            pointer=told.get("pointer"),
            retry_after=float(retry_after) if isinstance(retry_after, int | float) else None,
        )
    except (ValueError, AttributeError, KeyError, TypeError):
        words = http.client.responses.get(status, "no reason given")
        return RefusedByHub(status, f"http_{status}", f"the answer was {status} {words}: is a hub there?")


def fingerprint_of(certificate: Path) -> str:
    """The SHA-256 of the first certificate in this PEM file, in hex.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        text = certificate.read_text(encoding="ascii", errors="replace")
        found = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)
        if found is None:
            raise SettingsError(f"{certificate}: holds no certificate")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0])).hexdigest()
    except OSError as error:
        raise SettingsError(f"{certificate}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{certificate}: is not a certificate in PEM form") from error


def _content(response: http.client.HTTPResponse, most: int) -> bytes:
    try:
        with response:
            return response.read(most)
    except (OSError, http.client.HTTPException):
        return b""


def _trust(ca: Path | None, *, pinned: bool) -> ssl.SSLContext:
    if pinned:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the fingerprint is compared instead, before anything is said
        return context
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as error:  # SSLError is one
        raise SettingsError(f"ca: {ca}: {error.strerror or error}") from error


def _sha256(fingerprint: str) -> str:
    plain = re.sub(r"^sha-?256[:=/ ]", "", fingerprint.strip().lower()).replace(":", "").replace(" ", "")
    if not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise SettingsError("fingerprint: give the SHA-256 of the hub's certificate: 64 hexadecimal digits")
    return plain


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it is silent"
    if isinstance(error, ConnectionResetError | BrokenPipeError | http.client.HTTPException):
        return "the connection was closed"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
