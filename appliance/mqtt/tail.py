"""Events told to the broker, in order, and how far it has acknowledged them.

Promise: everything after a place is published at QoS 1, in order, as many at once as the link has room for; the place
moves over the longest acknowledged prefix only, and is written down within CURSOR_WITHIN.

What it does not do: it knows no topic, and it does not wait for a link: whoever runs it begins again from the place
that was written down.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from appliance.errors import ModemhubError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appliance.hub import Event, Hub
    from appliance.mqtt.client import Link

__all__ = ["JSON_TYPE", "Prefix", "Refused", "Tail", "compact"]

log = logging.getLogger(__name__)

EVENTS_AT_ONCE = 200
"""Rows per read of the event table."""

CURSOR_WITHIN = 0.05
"""Seconds in which an acknowledged event moves the cursor. A text is told four times within such a while, and each
commit is an fsync on a card that wears; what a crash in it costs is a repetition."""

CURSOR_EVERY = 64
"""Acknowledged events after which the cursor is written at once."""

REFUSED = 0x80
"""From here on a PUBACK's reason is a refusal (MQTT 5.0 §3.4.2.1)."""

JSON_TYPE = "application/json"


def compact(value: object) -> str:
    """JSON as it goes on the wire."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Prefix:
    """PURE: which of the events that were handed over, in order, the broker has acknowledged without a gap."""

    __slots__ = ("_acknowledged", "_order", "passed")

    def __init__(self, passed: int) -> None:
        self.passed = passed
        """Everything up to this seq is acknowledged."""
        self._order: deque[int] = deque()
        self._acknowledged: set[int] = set()

    @property
    def open(self) -> int:
        """How many wait behind the gap or for their acknowledgement."""
        return len(self._order)

    def add(self, seq: int) -> None:
        """``seq`` is handed over, after all before."""
        self._order.append(seq)

    def acknowledge(self, seq: int) -> None:
        """``seq`` has arrived (or had nothing to tell)."""
        self._acknowledged.add(seq)
        while self._order and self._order[0] in self._acknowledged:
            self.passed = self._order.popleft()
            self._acknowledged.remove(self.passed)


class Refused(ModemhubError):
    """The broker does not take a publication, or whoever listens does not want it counted.

    Attributes:
        seq: of the event.
        code: the PUBACK's reason.
    """

    def __init__(self, seq: int, code: int) -> None:
        super().__init__(f"the broker refuses one with reason 0x{code:02x}")
        self.seq = seq
        self.code = code


class Tail:
    """The events after a cursor of the journal."""

    def __init__(
        self,
        hub: Hub,
        *,
        cursor: str,
        told: Callable[[Event], Awaitable[tuple[str, str] | None]],
        counts: Callable[[int, int], bool] = lambda _, code: code < REFUSED,
    ) -> None:
        """Build it; :meth:`run` does the work.

        Args:
            hub: whose events.
            cursor: the durable place.
            told: an event's topic and payload; None: it is passed over.
            counts: given an event's seq and its PUBACK's reason, whether it has been told by that.
        """
        self.cursor = cursor
        """Moved by whoever runs it, between two events, when the place is to be written elsewhere."""
        self.passed = 0
        """Everything up to this seq is acknowledged."""
        self._hub = hub
        self._told = told
        self._counts = counts

    async def run(self, link: Link, begun: int) -> None:
        """Publish the events after ``begun`` and move the cursor, until the link ends or one is not taken.

        Raises:
            Refused: one was not taken.
            LinkLost: the link ended.
        """
        self.passed = begun
        prefix = Prefix(begun)
        moved = asyncio.Event()
        refused: list[Refused] = []

        def acknowledged(seq: int, code: int) -> None:
            if self._counts(seq, code):
                prefix.acknowledge(seq)
                self.passed = prefix.passed
            else:
                refused.append(Refused(seq, code))
            moved.set()

        async def publish() -> None:
            seq = begun
            while True:
                events = await self._hub.events(seq, limit=EVENTS_AT_ONCE)
                if not events:
                    await self._hub.wait_event(seq)
                for event in events:
                    told = await self._told(event)
                    seq = event.seq
                    if told is not None:
                        await link.room()
                    prefix.add(seq)
                    if told is None:
                        prefix.acknowledge(seq)
                        self.passed = prefix.passed
                        moved.set()
                    else:
                        topic, payload = told
                        link.publish(topic, payload, bulk=True, json=True, acked=partial(acknowledged, seq))

        publishing = asyncio.create_task(publish())
        publishing.add_done_callback(lambda _: moved.set())
        written = begun
        timer: asyncio.TimerHandle | None = None
        up = False

        def time_is_up() -> None:
            nonlocal up
            up = True
            moved.set()

        try:
            while not refused and not publishing.done():
                await moved.wait()
                moved.clear()
                if prefix.passed == written:
                    continue
                if timer is None:
                    timer = asyncio.get_running_loop().call_later(CURSOR_WITHIN, time_is_up)
                if up or prefix.passed - written >= CURSOR_EVERY:
                    timer.cancel()
                    timer, up = None, False
                    written = prefix.passed
                    await self._advance(written)
            if publishing.done():
                await publishing
            raise refused[0]
        finally:
            if timer is not None:
                timer.cancel()
            publishing.cancel()
            await asyncio.wait({publishing})
            if prefix.passed > written:
                await self._advance(prefix.passed)

    async def _advance(self, seq: int) -> None:
        """Move the cursor. It only saves repetitions: when the store takes nothing now, the next burst moves it."""
        try:
            await self._hub.advance(self.cursor, seq)
        except StoreError as error:
            log.warning("the cursor could not be written: %s", error)
