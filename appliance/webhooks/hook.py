"""One webhook: every event of its kinds, told or given up visibly.

Promise
    Each event of the kinds that are wanted, from the moment that the webhook is first known, is answered with 2xx at
    least once, or is given up after three days of failed attempts, and the log and ``state`` say so. Nothing is given
    up while the receiver answers: only after an attempt that failed. A healthy receiver is told in order, one event at
    a time. One event that fails for itself (the receiver stumbles over it) delays no other for long. The same event has
    the same ``webhook-id`` whenever it is told, across restarts.

What it does not do
    It tells nothing twice on purpose, but an event whose answer was lost (kill -9, a cut line) is told again.

Theory of operation
    The durable cursor says what was told or put into the queue of debts (``hub.debts``); both move in one commit. So
    there is no moment at which a crash loses an event, and starting is always the same: read on from the cursor.

    ======  ===================================================  ====================================================
    is      what is tried                                        becomes
    ======  ===================================================  ====================================================
    up      the oldest debt that is due, else the next new one   *down* when the receiver is not reached or asks for a
                                                                 pause, or when STRIKES different events have failed
                                                                 since the last success
    down    nothing, until the time of the next probe: then the  *up* with the first success; every debt is due then,
            oldest debt; when it failed by what may be its own   the oldest first (after one probe only those that have
            fault, also the oldest that was never tried          failed once: else a few events that bring the receiver
                                                                 down would be tried again and again)
    gone    nothing: the receiver answered 410                   as new, from the newest event on, with the next start
    ======  ===================================================  ====================================================

    While it is down, new events go to the debts unseen, many in a commit: neither memory nor connections grow with what
    is owed. That it is down is not remembered across a start: every debt is due then, and the first attempt tells.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from appliance.webhooks.schedule import AT_NEWS, EVENT, GIVE_UP_AFTER, RECEIVER, back_off
from appliance.webhooks.sender import Failed, Gone, Sender, Told

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from appliance.hub import Debt, Event, Hub
    from appliance.webhooks.settings import WebhookSettings

__all__ = ["Hook"]

log = logging.getLogger(__name__)

STRIKES = 3
"""Different events that fail one after the other until the receiver, and not the events, is thought to be at fault."""

EVENTS_AT_ONCE = 200
"""Events put off in one commit."""

SKIPPED_MOST = 500
"""Events of other kinds passed over until the cursor follows: a commit each would wear the card, and what a crash costs
is to look at them again."""


class Hook:
    """Tells one receiver. Run :meth:`run` as a tended task: started again, it goes on where it was."""

    def __init__(
        self,
        name: str,
        hub: Hub,
        settings: WebhookSettings,
        *,
        sender: Callable[[], Sender],
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        rng: random.Random,
    ) -> None:
        self.name = name
        self._hub = hub
        self._kinds = frozenset(settings.events)
        self._make_sender = sender
        self._now = now
        self._sleep = sleep
        self._rng = rng
        self._owed = 0
        self._error: str | None = None
        self._given_up = 0
        self._begun = False
        self._cursor = 0
        self._looked = 0
        """Up to here there is no event of our kinds behind the cursor."""
        self._failed: set[int] = set()
        self._down = False
        self._gone = False
        self._probes = 0
        """Failed attempts since it is down, the one that found it so included."""
        self._last_probe = 0.0
        self._next_probe = 0.0
        self._not_before = 0.0
        """Until then the receiver asked to be left alone."""

    @property
    def cursor(self) -> str:
        """The name of its durable cursor."""
        return f"webhook:{self.name}"

    @property
    def pending(self) -> int:
        """Events that it owes."""
        return self._owed

    @property
    def last_error(self) -> str | None:
        """What is wrong now, and what was given up since the start, in words; None: nothing."""
        told = [] if self._error is None else [self._error]
        if self._given_up:
            told.append(f"events given up after three days: {self._given_up}")
        return "; ".join(told) or None

    async def run(self) -> None:
        """Tell, until cancelled."""
        self._cursor = self._looked = await self._hub.cursor(self.cursor)
        self._owed = await self._hub.debts.count(self.name)
        if not self._begun:
            await self._hub.debts.make_due(self.name)
            self._begun = True
        async with self._make_sender() as sender:
            while not self._gone:
                if self._down:
                    await self._put_off()
                    if self._now() >= self._next_probe and self._owed:
                        await self._probe(sender)
                    else:
                        await self._idle(self._next_probe - self._now() if self._owed else None)
                elif self._owed and (debt := await self._hub.debts.oldest_due(self.name)) is not None:
                    await self._try_debt(sender, debt)
                elif events := await self._news(1):
                    await self._try_new(sender, events[0])
                else:
                    soonest = await self._hub.debts.soonest(self.name) if self._owed else None
                    await self._idle(None if soonest is None else soonest.due_in)
        await asyncio.Event().wait()

    # ------------------------------------------------------------------ what is to be told

    async def _news(self, limit: int) -> list[Event]:
        """The next events of our kinds behind what was looked at."""
        newest = self._hub.newest
        events = await self._hub.events(self._looked, limit=limit, kinds=self._kinds)
        if not events:
            self._looked = max(self._looked, newest)
            if self._looked - self._cursor >= SKIPPED_MOST:
                await self._hub.advance(self.cursor, self._looked)
                self._cursor = self._looked
        return events

    async def _put_off(self) -> None:
        """Owe what is new without an attempt; it makes the next probe come sooner."""
        while events := await self._news(EVENTS_AT_ONCE):
            seqs = [event.seq for event in events]
            await self._hub.debts.owe(self.name, seqs, delay=None)
            self._passed(seqs[-1])
            self._owed += len(seqs)
            self._next_probe = max(self._not_before, min(self._next_probe, self._last_probe + AT_NEWS))

    def _passed(self, seq: int) -> None:
        self._cursor = self._looked = seq

    async def _idle(self, seconds: float | None) -> None:
        """Return when there is an event that was not looked at, or after these seconds."""
        waits = [asyncio.ensure_future(self._hub.wait_event(self._looked))]
        if seconds is not None:
            waits.append(asyncio.ensure_future(self._sleep(max(seconds, 0.0))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)
        for wait in waits:
            if not wait.cancelled():
                wait.result()

    # ------------------------------------------------------------------ attempts

    async def _try_new(self, sender: Sender, event: Event) -> None:
        match await sender.tell(event):
            case Told():
                await self._hub.advance(self.cursor, event.seq)
                self._passed(event.seq)
                await self._success()
            case Gone():
                await self._disable()
            case Failed() as failure:
                delay = back_off(EVENT, 1, self._rng)
                await self._hub.debts.owe(self.name, [event.seq], delay=delay)
                self._passed(event.seq)
                self._owed += 1
                await self._failure(failure, event.seq, delay)

    async def _try_debt(self, sender: Sender, debt: Debt) -> bool:
        """Try an event that is owed; whether it failed for a reason that may be its own."""
        found = await self._hub.events(debt.seq - 1, limit=1)
        if not found or found[0].seq != debt.seq:
            log.error("webhook %s: event %d is not kept any more, and was never told", self.name, debt.seq)
            await self._settled(debt.seq)
            self._given_up += 1
            return False
        match await sender.tell(found[0]):
            case Told():
                await self._settled(debt.seq)
                await self._success()
            case Gone():
                await self._disable()
            case Failed() as failure:
                delay = back_off(EVENT, debt.attempts + 1, self._rng)
                if await self._hub.debts.failed(self.name, debt.seq, delay=delay, give_up_after=GIVE_UP_AFTER):
                    self._owed -= 1
                    self._give_up(1)
                await self._failure(failure, debt.seq, delay)
                return not failure.down
        return False

    async def _probe(self, sender: Sender) -> None:
        """Try one event; and one more when that failed and may be at fault itself."""
        first = await self._hub.debts.oldest(self.name)
        assert first is not None, "something is owed"
        if await self._try_debt(sender, first) and self._down:
            second = await self._hub.debts.soonest(self.name)
            if second is not None and second.seq != first.seq:
                await self._try_debt(sender, second)
        if self._down:
            old = await self._hub.debts.give_up(self.name, after=GIVE_UP_AFTER)
            self._owed -= old
            self._give_up(old)

    async def _settled(self, seq: int) -> None:
        await self._hub.debts.told(self.name, seq)
        self._owed -= 1

    # ------------------------------------------------------------------ what an outcome means for the receiver

    async def _success(self) -> None:
        self._failed.clear()
        if not self._owed:
            self._error = None
        if self._down:
            await self._hub.debts.make_due(self.name, within=None if self._probes > 1 else EVENT[0])
            self._down = False
            log.info("webhook %s: answers again; %d events are owed to it", self.name, self._owed)

    async def _failure(self, failure: Failed, seq: int, delay: float) -> None:
        self._error = failure.text
        if not self._down:
            self._failed.add(seq)
            log.info("webhook %s: event %d: %s; trying again in %.0f s", self.name, seq, failure.text, delay)
            if not failure.down and len(self._failed) < STRIKES:
                return
            self._down = True
            self._probes = 0
            log.warning("webhook %s: is down: %s", self.name, failure.text)
        self._failed.clear()
        self._probes += 1
        self._last_probe = self._now()
        self._not_before = self._last_probe + failure.wait
        self._next_probe = max(self._not_before, self._last_probe + back_off(RECEIVER, self._probes, self._rng))

    def _give_up(self, count: int) -> None:
        if count:
            self._given_up += count
            log.error("webhook %s: given up, not told within three days: %d events", self.name, count)

    async def _disable(self) -> None:
        await self._hub.debts.forget(self.name)
        self._gone = True
        self._error = "it answered 410 Gone: nothing is told to it until the hub starts again"
        log.error("webhook %s: %s (%d events were owed to it)", self.name, self._error, self._owed)
        self._owed = 0
