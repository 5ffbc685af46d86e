"""Waiting for events: what ``?wait=`` and the event stream stand on.

:class:`Ends` is one tail of the event table for all who wait for the end of a message; it sleeps while nobody waits. A
message cannot end unseen: the tail has its place in the table before the message's row is looked at.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.hub import Event, Hub

__all__ = ["Ends", "modem_told", "server_sent"]

EVENTS_AT_ONCE = 200


def server_sent(event: Event) -> bytes:
    """The event as the lines of an event stream (HTML Living Standard §9.2.6)."""
    body = json.dumps(event.body, ensure_ascii=False, separators=(",", ":"))  # no line break is left in it
    return f"id: {event.seq}\nevent: {event.kind}\ndata: {body}\n\n".encode()


def modem_told(view: Mapping[str, Any]) -> bytes:
    """A modem as an event of the stream: without an id, as it is told again and not replayed."""
    body = json.dumps(view, ensure_ascii=False, separators=(",", ":"))
    return f"event: modem\ndata: {body}\n\n".encode()


class Ends:
    """Those who wait for the end of a message, and the tail that tells them. Run :meth:`run` beside them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._wanted = asyncio.Event()
        self._placed = asyncio.Event()
        self._seq = 0

    async def run(self) -> None:
        """Tail the event table while somebody waits, until cancelled."""
        while True:
            await self._wanted.wait()
            self._seq = self._hub.newest
            self._placed.set()
            while self._waiting:
                for event in await self._hub.events(self._seq, limit=EVENTS_AT_ONCE):
                    self._seq = event.seq
                    if event.kind == "message" and event.body["final"]:
                        for waiter in self._waiting.pop(event.subject, ()):
                            if not waiter.done():
                                waiter.set_result(None)
                if self._waiting:
                    await self._hub.wait_event(self._seq)
            self._placed.clear()
            self._wanted.clear()

    async def wait(self, message_id: str) -> None:
        """Return when this message has ended."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(message_id, set()).add(waiter)
        self._wanted.set()
        try:
            await self._placed.wait()
            message = await self._hub.message(message_id)
            if message is None or message["final"]:
                return
            await waiter
        finally:
            waiters = self._waiting.get(message_id)
            if waiters is not None:
                waiters.discard(waiter)
                if not waiters:
                    del self._waiting[message_id]
