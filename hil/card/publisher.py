"""Whoever publishes updates: an HTTPS server on this machine with an index and a bundle, over a line that may break.

The guest reaches it at ``10.0.2.2``, QEMU's name for this machine. Its certificate is its own, so a device must be told
to trust it.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

__all__ = ["Publisher"]

HOST: Final = "10.0.2.2"
"""This machine, for a guest of QEMU's user network."""


class Publisher:
    """Publishes what is in a directory; runs while it is entered.

    Attributes:
        certificate: PEM; with its key it is what the server shows.
        breaks: after so many octets of a bundle the line breaks; one for each answer.
        asked: path and ``Range`` of every request.
    """

    def __init__(self, directory: Path, scratch: Path) -> None:
        self.directory = directory
        self.certificate = scratch / "publisher.pem"
        self.breaks: list[int] = []
        self.asked: list[tuple[str, str | None]] = []
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def index(self) -> str:
        """What a device is told as ``[update] url``."""
        return f"https://{HOST}:{self._port}/modemhub.json"

    async def __aenter__(self) -> Self:
        self.certificate.write_bytes(_self_signed())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        application = web.Application()
        application.router.add_get("/{name}", self._answer)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, request.headers.get("Range")))
        file = (self.directory / request.match_info["name"]).resolve()  # it serves no links
        if not file.is_file():
            raise web.HTTPNotFound
        if not (file.suffix == ".raucb" and self.breaks):
            return web.FileResponse(file)
        answer = web.StreamResponse(headers={"Content-Length": str(file.stat().st_size)})
        await answer.prepare(request)
        with file.open("rb") as source:
            await answer.write(source.read(self.breaks.pop(0)))
        assert request.transport is not None
        request.transport.close()
        return answer


def _self_signed() -> bytes:
    """A certificate for ``HOST`` and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "publisher")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
