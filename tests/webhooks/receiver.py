"""A real HTTP server that receives webhooks as the test wishes, and a clock that is moved from rest to rest."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from appliance.store import events
from appliance.webhooks import WebhookDoor, WebhookSettings
from tests.mqtt.house import Longest, free_port

if TYPE_CHECKING:
    import random
    import ssl
    from collections.abc import AsyncIterator, Callable

    from tests.mqtt.house import House

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()

CUT = 0
"""An answer that is none: the connection is closed."""


@dataclass(frozen=True, slots=True)
class Got:
    """One request, its signature checked already."""

    id: str
    timestamp: int
    json: Any
    headers: dict[str, str]
    path: str

    @property
    def number(self) -> int:
        """What ``happen`` numbered the event by."""
        number: int = self.json["data"]["n"]
        return number


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Receiver:
    """Answers each request with what ``answer`` says of it (a status, CUT, or an Answer)."""

    def __init__(self) -> None:
        self.port = free_port()
        self.got: list[Got] = []
        self.connections = 0
        self.answer: Callable[[Got], int | Answer] = lambda _: 204
        self.release = asyncio.Event()
        """Answers wait for it; it is set until a test clears it."""
        self.release.set()
        self._news = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?x=secret"

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        serve = self._runner.server
        assert serve is not None

        def connected() -> asyncio.BaseProtocol:
            self.connections += 1
            return serve()

        self._listener = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", self.port, ssl=tls)

    async def stop(self) -> None:
        if self._runner is not None and self._listener is not None:
            self._listener.close()
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        got = Got(
            id=request.headers["webhook-id"],
            timestamp=int(request.headers["webhook-timestamp"]),
            json=json.loads(body),
            headers={name.lower(): value for name, value in request.headers.items()},
            path=request.path_qs,
        )
        signed = b"%s.%d.%s" % (got.id.encode(), got.timestamp, body)
        wanted = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        assert request.headers["webhook-signature"] == f"v1,{wanted}"
        self.got.append(got)
        self._news.set()
        await self.release.wait()
        answer = self.answer(got)
        if answer == CUT:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(answer, int):
            answer = Answer(answer)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def until(self, count: int) -> list[Got]:
        """All requests, once there are so many."""
        while len(self.got) < count:
            self._news.clear()
            await self._news.wait()
        return self.got

    def numbers(self) -> list[int]:
        return [got.number for got in self.got]


def webhook(receiver: Receiver, **wishes: Any) -> WebhookSettings:
    given = {"url": receiver.url, "secret": SECRET, "events": ["call"], "allow_private": True} | wishes
    return WebhookSettings.model_validate(given)


def door_to(home: House, *, rng: random.Random | None = None, **settings: WebhookSettings) -> WebhookDoor:
    """A door in the time of the house, without jitter."""
    time = home.time
    return WebhookDoor(
        home.hub,
        settings,
        now=time,
        wall=lambda: 1_800_000_000 + time.now,
        sleep=time.sleep,
        rng=rng or Longest(),
    )


@contextlib.asynccontextmanager
async def running(door: WebhookDoor) -> AsyncIterator[WebhookDoor]:
    """Run every webhook of the door; leaving is the stop. What ends one early is raised here."""
    await door.settle()
    tasks = [asyncio.create_task(hook.run()) for hook in door.hooks.values()]
    try:
        yield door
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def happen(home: House, *numbers: int, kind: str = "call", **more: Any) -> list[int]:
    """Events with these numbers in them; their seqs."""
    return [await home.journal.write(events.record, kind, "x", {"n": number, **more}) for number in numbers]


async def at_rest(home: House) -> asyncio.Future[int]:
    """Return when a webhook waits for an event that there is not yet: it has done what there is to do now.

    The future is done when it does not wait any more.
    """
    while True:
        for waiter in home.journal._waiters:
            if waiter.seq >= home.hub.newest:
                return waiter.future
        await asyncio.sleep(0.001)


async def pass_by(home: House, seconds: float) -> None:
    """Let this time pass for one webhook, which does at each moment what is due then."""
    until = home.time.now + seconds
    while True:
        waiter = await at_rest(home)
        due = min((at for at, _ in home.time._sleepers), default=until + 1)
        if due > until:
            home.time.pass_by(until - home.time.now)
            return
        home.time.pass_by(due - home.time.now)
        await asyncio.wait({waiter})
