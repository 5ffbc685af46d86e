"""One attempt: the event as a signed POST, and what the answer means.

Promise
    What was answered with 2xx was told. Nothing else was: a redirect is not followed. The address that is connected to
    is checked at the moment of connecting, for each attempt anew, however it was found (see ``addresses``). An attempt
    ends within ATTEMPT_TIME and reads at most BODY_READ octets of an answer, which go nowhere.

What it does not do
    It knows no queue and tries nothing twice. It takes no proxy from the environment and keeps no cookie.

Theory of operation
    Every attempt has a connection of its own. A kept one saves a handshake, but the receiver may close it just when the
    next POST is written, and a POST is not repeated: a healthy receiver would seem to fail. The gate is the connector's
    ``socket_factory``, called with the very address that is then connected to: between check and use nothing can
    change. Failures are told in words of our own: an error's text may have the url in it, and the url may be secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from appliance.webhooks.addresses import refusal
from appliance.webhooks.schedule import retry_after
from appliance.webhooks.signature import sign

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from appliance.hub import Event
    from appliance.webhooks.settings import WebhookSettings

    Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
    """Host and port → the addresses as text."""

__all__ = ["Failed", "Gone", "Outcome", "Sender", "Told", "resolve"]

ATTEMPT_TIME = 20.0
"""Seconds for all of an attempt (Standard Webhooks 1.0.0, "Request timeouts": 15 to 30)."""

CONNECT_TIME = 10.0
"""Seconds until a connection stands, TLS included."""

BODY_READ = 4096
"""Octets of an answer that are taken from the receiver, so that its close is an orderly one."""

BODY_TIME = 2.0
"""Seconds for that: the status has decided already."""

TOO_MANY, UNAVAILABLE = 429, 503
"""Statuses that may say for how long (RFC 6585 §4, RFC 9110 §15.6.4)."""


@dataclass(frozen=True, slots=True)
class Told:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The receiver wants nothing any more (410)."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The receiver may not have it.

    Attributes:
        text: why, for a person.
        down: the receiver was not reached, or asks for a pause: another event would fare no better. Otherwise it
            answered, or hung up, and that may be this event's own fault, also with 502 and 503: that is what a proxy
            says of a receiver that dies of an event.
        wait: seconds that it asks to be left alone for, or 0.
    """

    text: str
    down: bool
    wait: float = 0.0


Outcome = Told | Gone | Failed


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the machine's resolver knows them now."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class Sender:
    """Tells events to one receiver; an asynchronous context manager."""

    def __init__(
        self,
        settings: WebhookSettings,
        *,
        hub_id: str,
        wall: Callable[[], float],
        resolve: Resolve = resolve,
    ) -> None:
        self._url = URL(settings.url)
        self._key = settings.key
        self._allow_private = settings.allow_private
        self._hub_id = hub_id
        self._wall = wall
        self._refused: list[str] = []
        """Why addresses of this attempt were not connected to."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Resolver(resolve),
                use_dns_cache=False,
                force_close=True,
                socket_factory=self._gate,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIME, connect=CONNECT_TIME),
            headers={"User-Agent": "modemhub", "Content-Type": "application/json", "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def tell(self, event: Event) -> Outcome:
        """Make one attempt; all that can go wrong with it is in the outcome."""
        body = _body(event)
        message_id = f"{self._hub_id}_{event.seq}"
        timestamp = int(self._wall())
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._key, message_id=message_id, timestamp=timestamp, body=body),
        }
        self._refused.clear()
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                outcome = _meaning(response)
                with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                    async with asyncio.timeout(BODY_TIME):
                        await response.content.read(BODY_READ)
                return outcome
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: of a name that cannot be encoded
            if self._refused:
                return Failed(self._refused[0], down=True)
            return _failure(error)

    def _gate(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        word = refusal(str(address[0]), allow_private=self._allow_private)
        if word is not None:
            why = f"its address is {word}, and " + (
                "such a one is never connected to" if self._allow_private else "allow_private is not set"
            )
            self._refused.append(why)
            raise PermissionError(why)
        return socket.socket(family, kind, protocol)


class _Resolver(AbstractResolver):
    """The connector's view of a function that finds addresses."""

    def __init__(self, find: Resolve) -> None:
        self._find = find

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - the signature is the library's
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in await self._find(host, port)
        ]

    async def close(self) -> None:
        pass


def _body(event: Event) -> bytes:
    """The octets that are signed and sent."""
    match event.kind:
        case "received":
            told = "sms.received"
        case "message":
            told = f"message.{event.body['state']}"
        case "call":
            told = "call.incoming"
        case _:
            told = f"modem.{event.kind}"
    payload = {"type": told, "timestamp": event.at, "data": event.body}
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def _meaning(response: aiohttp.ClientResponse) -> Outcome:
    status = response.status
    if 200 <= status < 300:
        return Told()
    if status == 410:
        return Gone()
    if status in {TOO_MANY, UNAVAILABLE}:
        wait = retry_after(response.headers.get("Retry-After"), date=response.headers.get("Date"))
        return Failed(f"it answers {status}", down=status == TOO_MANY or wait > 0, wait=wait)
    if 300 <= status < 400:
        return Failed(f"it answers {status}, a redirect, which is not followed: give the url it leads to", down=False)
    return Failed(f"it answers {status}", down=False)


def _failure(error: Exception) -> Failed:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return Failed(f"no connection within {CONNECT_TIME:.0f} s", down=True)
        case TimeoutError():
            return Failed(f"no answer within {ATTEMPT_TIME:.0f} s", down=False)
        case aiohttp.ClientConnectorCertificateError():
            return Failed("its certificate is not valid, or not for this name", down=True)
        case aiohttp.ClientConnectorDNSError() | UnicodeError() | aiohttp.InvalidURL():
            return Failed("its name has no address", down=True)
        case aiohttp.ClientSSLError():
            return Failed("it does not speak TLS as we do", down=True)
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno  # the text that comes with it has the address in it
            return Failed(f"no connection: {os.strerror(number) if number else 'none of its addresses'}", down=True)
        case aiohttp.ServerDisconnectedError() | ConnectionError():
            return Failed("it closed the connection without an answer", down=False)
        case _:
            return Failed(f"its answer is not HTTP as we know it ({type(error).__name__})", down=False)
