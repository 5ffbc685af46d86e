"""Received texts reach a webhook whatever dies: the receiver, the hub by kill -9, either at any moment; each signed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import signal
import time
from typing import TYPE_CHECKING, Any, Self

import pytest
from aiohttp import web

from hil.rig import Record, Rig, rig
from hil.rig.broker import free_port

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

pytestmark = pytest.mark.asyncio

AGAIN = 60.0
"""Seconds within which a receiver that is back is asked: two probes, of 5 s and 30 s, and the slowness of a machine."""


class Receiver:
    """An endpoint of the house that verifies as Standard Webhooks says, and can be away."""

    def __init__(self) -> None:
        self.key = secrets.token_bytes(32)
        self.port = free_port()
        self.told: Record[tuple[str, dict[str, Any]]] = Record("receiver")
        """``webhook-id`` and data of each request that was verified and answered with 204."""
        self.wrong: list[str] = []
        self.status = 204
        self._runner: web.AppRunner | None = None

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "url": f"http://127.0.0.1:{self.port}/texts",
            "secret": "whsec_" + base64.b64encode(self.key).decode(),
            "allow_private": True,
        }

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/texts", self._receive)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        told, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        signed = hmac.digest(self.key, f"{told}.{at}.".encode() + body, hashlib.sha256)
        if request.headers["webhook-signature"] != "v1," + base64.b64encode(signed).decode():
            self.wrong.append(f"{told}: not signed by its key")
        if abs(time.time() - int(at)) > 60:
            self.wrong.append(f"{told}: of another time, {at}")
        event = json.loads(body)
        if event["type"] != "sms.received":
            self.wrong.append(f"{told}: {event['type']} was not asked for")
        if self.status == 204:
            self.told.add((told, event["data"]))
        return web.Response(status=self.status)

    async def texts(self, count: int) -> list[str]:
        """The different texts in the order in which they came first, once there are so many."""

        def first(items: list[tuple[str, dict[str, Any]]]) -> list[str] | None:
            found = list(dict.fromkeys(data["text"] for _, data in items))
            return found if len(found) >= count else None

        return await self.told.until(first, f"{count} texts", within=AGAIN)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def deliver(whole: Rig, *texts: str) -> None:
    """Have the network deliver these texts, and wait until the hub has them."""
    before = len(whole.observer.received())
    for text in texts:
        await whole.modems.deliver(whole.modems.all[0], text)
    await whole.observer.heard.until(
        lambda _: len(whole.observer.received()) >= before + len(texts), f"{len(texts)} received texts"
    )


async def told(whole: Rig, state: dict[str, Any]) -> None:
    """Return when the hub's status says this of its webhook."""
    async with asyncio.timeout(AGAIN):
        while (await whole.api.get("/api/v1/status"))["webhooks"] != [state]:
            pass


@pytest.mark.timeout(300)
async def test_texts_reach_a_receiver_that_was_away_through_a_kill_of_the_hub(place: Path) -> None:
    async with (
        Receiver() as receiver,
        rig(place, settings={"webhooks": {"door": receiver.settings}}) as whole,
    ):
        await deliver(whole, "up 1", "up 2")
        assert await receiver.texts(2) == ["up 1", "up 2"]

        await receiver.stop()
        await deliver(whole, "down 1", "down 2", "down 3")
        await whole.hub.kill()
        await receiver.start()
        await whole.restart_hub()
        assert await receiver.texts(5) == ["up 1", "up 2", "down 1", "down 2", "down 3"]

        receiver.status = 500
        await deliver(whole, *(f"ill {n}" for n in range(8)))
        await told(whole, {"name": "door", "pending": 8, "last_error": "it answers 500"})
        receiver.status = 204
        assert await receiver.texts(13) == [
            *("up 1", "up 2", "down 1", "down 2", "down 3"),
            *(f"ill {n}" for n in range(8)),
        ]
        assert receiver.wrong == []
        assert one_id_each(receiver) == []
        await told(whole, {"name": "door", "pending": 0, "last_error": None})
        assert await whole.hub.stop() == 0
        for secret in (receiver.settings["secret"], "/texts", "down 1"):
            assert secret not in whole.hub.said()


ONCE_A_BURST = frozenset({"owe", "advance"})
"""Commits that a round may see only once: what comes while the receiver is down is owed in one."""

POINTS = [(verb, moment) for verb in ("advance", "owe", "told", "failed") for moment in ("before", "after")]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("verb", "moment"), POINTS)
async def test_a_kill_at_any_step_loses_no_text(place: Path, verb: str, moment: str, *, long: bool) -> None:
    rounds = 10 if long else 1
    async with (
        Receiver() as receiver,
        rig(place, settings={"webhooks": {"door": receiver.settings}}, start=False) as whole,
    ):
        wanted: list[str] = []
        await whole.hub.start()
        await whole.ready()
        await whole.hub.kill()
        for n in range(rounds):
            receiver.status = 204 if verb == "advance" else 500
            await whole.hub.start(crash_at=f"{verb}:{moment}:{1 if verb in ONCE_A_BURST else 1 + n % 2}")
            wanted += [f"{n}.{m}" for m in range(3)]
            for text in wanted[-3:]:
                await whole.modems.deliver(whole.modems.all[0], text)
            if verb == "told":  # an event must be owed before it can be told as such
                await whole.observer.heard.until(lambda _: len(distinct(whole)) >= len(wanted), "received texts")  # noqa: B023 - asked before it grows
                receiver.status = 204
            assert await whole.hub.child.ended(within=AGAIN) == -signal.SIGKILL
        receiver.status = 204
        await whole.hub.start()
        assert sorted(await receiver.texts(len(wanted))) == sorted(wanted)
        assert receiver.wrong == []
        assert one_id_each(receiver) == []
        assert await whole.hub.stop() == 0


def distinct(whole: Rig) -> set[str]:
    return {message["text"] for message in whole.observer.received()}


def one_id_each(receiver: Receiver) -> list[str]:
    """Breaches of: a text that came twice came with the same id, and no two texts with one."""
    ids: dict[str, set[str]] = {}
    for told, data in receiver.told.items:
        ids.setdefault(data["text"], set()).add(told)
    breaches = [f"{text}: under several ids, {found}" for text, found in ids.items() if len(found) != 1]
    with contextlib.suppress(StopIteration):
        shared = next(
            told for told, data in receiver.told.items if any(told in ids[t] for t in ids if t != data["text"])
        )
        breaches.append(f"{shared}: of several texts")
    return breaches
