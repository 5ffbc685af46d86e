"""The HTTP door: the server's life, and what holds for every request.

Promises: 202 is answered only after the hub's commit (S1). Every refusal is a problem document with a stable code.
Every route but those marked public needs a token with one of the route's scopes. Nothing that a client sends ends
the server. Cancelling :meth:`HttpDoor.run` closes the listener, ends the event streams and the waits, lets running
requests finish for STOP_TIME and returns.

With TLS (1.2 and newer) its certificate is the user's own, or one that the hub makes. Who speaks plain HTTP to it then
is hung up on: the handshake fails before there is anything to answer.

What it does not do: CORS (no foreign page may use a user's token), sessions, cookies.

Theory of operation: the rows of :data:`~appliance.http.routes.ROUTES` become aiohttp routes. Around each handler stand,
from outside: the error page (anything raised → a problem document), the gate (token → client), the scope check.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from appliance.errors import Rejected, SettingsError, StoreError, StoreFull
from appliance.http import certificate, pages
from appliance.http.auth import Gate, allows, basic, bearer
from appliance.http.call import Call
from appliance.http.openapi import document
from appliance.http.pace import Pace
from appliance.http.problem import Forbidden, of_rejected, of_status, problem
from appliance.http.routes import ROUTES, Route
from appliance.http.tail import Ends
from appliance.hub import Client

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from aiohttp.typedefs import Handler

    from appliance.http.settings import HttpSettings
    from appliance.hub import Hub

__all__ = ["HttpDoor"]

log = logging.getLogger(__name__)

wire = logging.getLogger("appliance.http.wire")
wire.addFilter(lambda record: not _is_no_http(record))

BACKLOG = 128
"""Connections that wait to be accepted: aiohttp's own."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are counted by their name."""

STOP_TIME = 3.0
"""Seconds that running requests get to finish when the hub stops."""

HEADERS = {
    "Server": "modemhub",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""On every response: nothing of it is cached, framed, sniffed or executed."""

BASIC = web.RequestKey("basic", bool)
"""Key of a request whose route takes HTTP Basic too."""

NOBODY = Client("", frozenset())
"""Who asks a public route."""


class HttpDoor:
    """Run :meth:`run` as a vital task; cancelling it is the graceful stop."""

    def __init__(
        self,
        hub: Hub,
        settings: HttpSettings,
        *,
        explain_settings: Callable[[], list[dict[str, Any]]] = list,
        console: Traversable | None = None,
        directory: Path | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.hub = hub
        self.ready = asyncio.Event()
        """Set once the door listens."""
        self.stopping = asyncio.Event()
        self.address: tuple[str, int] = ("", 0)
        """Where it listens, once ready: the port is known then, also when it was 0."""
        self._settings = settings
        self._sleep = sleep
        self.explain_settings = explain_settings
        """All settings, each with its source and without its secret."""
        self._directory = directory
        self.console = console or pages.of_package()
        """The folder of the console's files."""
        self.fingerprint: str | None = None
        """SHA-256 of its certificate, once it is ready; None: plain HTTP."""
        self.gate = Gate(hub, now=now)
        self.pace = Pace(now=now)
        self._ends = Ends(hub)
        self.streams = 0
        """Event streams that are open."""
        self.requests = Counter[tuple[str, str, int]]()
        """How often which method and route was answered with which status."""
        self._description: dict[str, Any] | None = None

    async def run(self) -> None:
        """Listen and serve until cancelled.

        Raises:
            SettingsError: the address cannot be listened on; the certificate of the settings is none.
            OSError: no certificate can be written.
        """
        app = web.Application(client_max_size=self._settings.max_body, middlewares=[self._around])
        app.on_response_prepare.append(_harden)
        for route in ROUTES:
            served = self._served(route)
            app.router.add_route(route.method, route.path, served)
            if route.public and route.method == "GET":  # what monitors and browsers ask for without a token
                app.router.add_route("HEAD", route.path, served)
        runner = web.AppRunner(app, access_log=None, logger=wire, shutdown_timeout=STOP_TIME, handle_signals=False)
        claim = self.hub.claim
        if claim is not None:
            await claim.prepare()
        ends = asyncio.create_task(self._ends.run(), name="ends of messages")
        try:
            await runner.setup()
            host, port = self._settings.address
            tls = await asyncio.to_thread(self._tls) if self._settings.encrypted else None
            try:
                await _site(runner, host, port, tls).start()
            except OSError as error:
                why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error
                raise SettingsError(f"http.listen: {self._settings.listen} cannot be listened on: {why}") from error
            self.address = runner.addresses[0][:2]
            if claim is not None:
                await claim.publish(self.url, fingerprint=self.fingerprint)
            self.ready.set()
            log.info("HTTP%s listens on %s port %d", "" if tls is None else "S", *self.address)
            if self.fingerprint is not None:
                log.info("the certificate's SHA-256 fingerprint is %s", self.fingerprint)
            await ends
        finally:
            self.stopping.set()
            ends.cancel()
            await runner.cleanup()
            await asyncio.wait({ends})

    def _tls(self) -> ssl.SSLContext:
        """The TLS that it speaks: with the user's own certificate, else with one that the hub makes."""
        settings = self._settings
        if settings.cert is not None:
            served = certificate.Served(settings.cert, settings.key)
        elif self._directory is not None:
            served = certificate.ensure(self._directory, certificate.names(settings.address[0]))
        else:
            raise SettingsError("http.tls: there is no directory for a certificate: set http.cert")
        made = certificate.context(served)
        self.fingerprint = certificate.fingerprint(served.cert)
        return made

    def description(self) -> dict[str, Any]:
        """The OpenAPI document of this door; made when it is first asked for, in a tenth of a second."""
        if self._description is None:
            self._description = document(ROUTES, version=self.hub.version)
        return self._description

    @property
    def url(self) -> str:
        """Where a browser on this network finds the console; known once it listens."""
        host, port = self.address
        if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
            host = f"{socket.gethostname().partition('.')[0]}.local"
        scheme = "http" if self.fingerprint is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"

    # ------------------------------------------------------------------ around every handler

    def _served(self, route: Route) -> Handler:
        async def serve(request: web.Request) -> web.StreamResponse:
            token = bearer(request) or (basic(request) if route.basic else None)
            client = NOBODY
            request[BASIC] = route.basic
            if not route.public:
                client = await self.gate.client(token, peer=request.remote or "")
                if not allows(client, route.scopes):
                    raise Forbidden(route.scopes, client=client.name)
            return await route.handler(Call(request, client, token or "", self))

        return serve

    @web.middleware
    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count the answer, under the route's own path: what clients make up is no label."""
        response = await self._answered(request, handler)
        resource = request.match_info.route.resource
        method = request.method if request.method in METHODS else "other"
        self.requests[method, resource.canonical if resource is not None else "none", response.status] += 1
        return response

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Whatever is raised becomes a problem document."""
        path = request.path
        try:
            return await handler(request)
        except Rejected as error:
            response = of_rejected(error, instance=path)
            if error.code == "unauthorized":
                response.headers.add("WWW-Authenticate", 'Bearer realm="modemhub"')
                if request.get(BASIC):
                    response.headers.add("WWW-Authenticate", 'Basic realm="modemhub: any name, the token as password"')
            return response
        except StoreFull:
            return problem("store_full", "the disk is full: nothing new is accepted", retry_after=60, instance=path)
        except StoreError as error:
            log.error("the store failed: %s", error)  # noqa: TRY400 - where it failed is the store's to say
            return problem("unavailable", "the store failed; the hub's log tells why", retry_after=10, instance=path)
        except web.HTTPException as error:
            return of_status(error, instance=path)
        except Exception:  # a door's outermost handler: one request must not take the others with it
            log.exception("%s %s failed", request.method, request.match_info.route.resource or "?")
            return problem("internal", "the hub failed at this request; its log tells why", instance=path)

    # ------------------------------------------------------------------ waiting

    async def wait_for_ends(self, ids: Sequence[str], seconds: float) -> None:
        """Wait until all these messages have ended, the time is over, or the hub stops."""
        waits = [asyncio.create_task(self._ends.wait(one)) for one in ids]
        every = asyncio.create_task(_all(waits))
        limits = [asyncio.ensure_future(self._sleep(seconds)), asyncio.create_task(_set(self.stopping))]
        try:
            await asyncio.wait([every, *limits], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*waits, every, *limits):
                task.cancel()
            await asyncio.gather(*waits, every, *limits, return_exceptions=True)

    async def news_or_heartbeat(self, after: int, modems: int | None) -> bool:
        """Wait for news; False when it is time for a sign of life, or the hub stops.

        Args:
            after: an event after this one is news.
            modems: a version of the roster other than this one is news; None: it is none.
        """
        news = [asyncio.create_task(self.hub.wait_event(after))]
        if modems is not None:
            news.append(asyncio.create_task(_changed(self.hub, modems)))
        others = [
            asyncio.ensure_future(self._sleep(self._settings.heartbeat)),
            asyncio.create_task(_set(self.stopping)),
        ]
        try:
            await asyncio.wait([*news, *others], return_when=asyncio.FIRST_COMPLETED)
            return any(task.done() for task in news)
        finally:
            for task in (*news, *others):
                task.cancel()
            await asyncio.gather(*news, *others, return_exceptions=True)

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Count an event stream while it lasts.

        Raises:
            Rejected: ``unavailable``, when there are too many.
        """
        if self.streams >= self._settings.max_streams:
            raise Rejected("unavailable", f"{self.streams} event streams are open already", retry_after=10)
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1


def _site(runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None) -> web.BaseSite:
    """The listener; ``[::]`` hears every address, where asyncio by itself would make it IPv6 alone."""
    if host != "::" or not socket.has_dualstack_ipv6():
        return web.TCPSite(runner, host, port, ssl_context=tls)
    both = socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
    return web.SockSite(runner, both, ssl_context=tls, backlog=BACKLOG)


def _is_no_http(record: logging.LogRecord) -> bool:
    """Whether the server tells of a request that is none: it would quote it, with whatever token is in it (C1)."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is not None and issubclass(kind, HttpProcessingError)


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


async def _changed(hub: Hub, version: int) -> None:
    await hub.modems_changed(version)


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = HEADERS["Server"]
