"""Home Assistant on a link: what exists is announced, what happens is told, and told again on its return.

Theory of operation: ``retained`` says what to publish for the devices of now; the devices of other lives of this hub
are read back from the broker. ``presence`` says how far Home Assistant has surely been told; that place is the durable
cursor ``homeassistant``, and a :class:`~appliance.mqtt.tail.Tail` tells what comes after it. While it is not known
whether anybody listens, a second cursor ``homeassistant.told`` keeps how far the telling is, so that neither a new link
nor a restart of the hub repeats it; a birth goes back to the first.

A broker of MQTT 5 says in its PUBACK when nobody listens to a topic. Then the event is tried again, as Home Assistant
may be about to subscribe. When it is there and does not want the event (the entity is switched off), that is enough.

Events are kept KEPT days for one that does not come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from appliance.errors import StoreError
from appliance.mqtt.client import LinkLost
from appliance.mqtt.homeassistant.discovery import Devices
from appliance.mqtt.homeassistant.presence import Presence, Whereabouts
from appliance.mqtt.homeassistant.retained import Retained
from appliance.mqtt.homeassistant.telling import last_received, telling
from appliance.mqtt.tail import REFUSED, Refused, Tail

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from appliance.hub import Event, Hub
    from appliance.mqtt.client import Delivery, Link
    from appliance.mqtt.settings import HomeAssistantSettings
    from appliance.mqtt.topics import Topics

__all__ = ["HomeAssistant"]

log = logging.getLogger(__name__)

SURE, PERHAPS = "homeassistant", "homeassistant.told"
"""Cursors: surely told, and perhaps told."""

NOBODY = 0x10
"""Reason of a PUBACK: nobody has subscribed (MQTT 5.0 §3.4.2.1); a broker may leave it out."""

SETTLE = 2.0
"""Seconds from a birth to the telling: entities that were discovered on the way are about to subscribe."""

RETRY, TRIES = 4.0, 6
"""An event that nobody listens to, although somebody is there, is told again so often, so many seconds apart."""

LOOK_AGAIN = 60.0
"""Seconds after which one who may be there without having said so is looked for again."""

KEPT = 7 * 86400.0
TRIM_EVERY = 3600.0

REFUSED_RETRY = (1.0, 5.0, 30.0, 60.0, 300.0)


class HomeAssistant:
    """What the door does for Home Assistant."""

    def __init__(
        self,
        hub: Hub,
        settings: HomeAssistantSettings,
        topics: Topics,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._hub = hub
        self._settings = settings
        self._topics = topics
        self._sleep = sleep
        self._numbers = {contact.numbers[0]: contact.name for contact in hub.contacts if not contact.group}
        public = hub.info()["settings"]
        self._devices = Devices(
            hub.hub_id,
            hub.version,
            topics,
            settings.prefix,
            name=settings.name,
            configuration_url=settings.configuration_url,
            can_rescan=public.get("detect", {}).get("udev", True),
        )
        self._retained = Retained(self._devices, wanted=settings.discovery)
        self._presence = Presence(sure=0, told=0)
        self._tail: Tail | None = None
        self._news = asyncio.Event()
        self._anew = asyncio.Event()
        self._answered = asyncio.Event()
        self._proof_sought = False

    # ------------------ what the door asks for

    @property
    def prefix(self) -> str | None:
        """Where devices are announced; None: discovery is off."""
        return self._settings.prefix if self._settings.discovery else None

    @property
    def status(self) -> str:
        """Where Home Assistant says that it is there."""
        return f"{self._settings.prefix}/status"

    @property
    def devices(self) -> str:
        """The filter of all devices that are announced."""
        return self._devices.filter

    async def prepare(self) -> None:
        """Once, before the first link."""
        if not self._settings.discovery:
            for cursor in (SURE, PERHAPS):
                await self._hub.forget_door(cursor)
            return
        sure = await self._hub.cursor(SURE)
        self._presence = Presence(sure=sure, told=await self._hub.cursor(PERHAPS, begin=sure))

    def linked(self) -> None:
        """There is a new link, and nothing has come by it."""
        self._retained = Retained(self._devices, wanted=self._settings.discovery)
        self._presence.linked()
        self._anew.clear()
        self._answered.clear()
        self._proof_sought = False

    def arrived(self, link: Link, delivery: Delivery) -> bool:
        """Take a delivery, if it is for us."""
        if delivery.topic == self.status:
            if not delivery.retain:
                self._heard(delivery.payload)
            link.acknowledge(delivery)
            return True
        if self._devices.is_device(delivery.topic):
            if delivery.retain:
                self._publish(link, self._retained.read_back(delivery.topic, delivery.payload))
            return True
        return False

    def announce(self, link: Link) -> None:
        """Tell which devices there are, as far as it is news."""
        if self._settings.discovery:
            self._publish(
                link, self._retained.announce(self._devices.announced(self._hub.modems(), self._hub.contacts))
            )

    def forget(self, link: Link, imei: str) -> None:
        """A modem will not come back."""
        self._publish(link, self._retained.forget(self._devices.topic(self._devices.modem(imei))))

    def _publish(self, link: Link, publications: Any) -> None:
        for topic, payload in publications:
            link.publish(topic, payload, retain=True, json=bool(payload))

    def _heard(self, payload: bytes) -> None:
        if self._tail is not None:
            self._presence.passed(self._tail.passed)
        before = self._presence.where
        if self._presence.heard(payload, newest=self._hub.newest):
            self._anew.set()
            self._news.set()
        if self._presence.where is not before:
            log.info("Home Assistant is %s", self._presence.where.value)

    # ------------------ telling

    async def tell(self, link: Link) -> None:
        """Tell the events, until the link ends.

        Raises:
            LinkLost: the link ended.
        """
        if not self._settings.discovery:
            await asyncio.Event().wait()
        running: asyncio.Task[None] | None = None
        failures = begun = 0
        try:
            await self._tell_last(link)
            while True:
                if self._anew.is_set():
                    self._anew.clear()
                    await self._stop(running)
                    running = None
                    await self._write()
                    if self._presence.where is Whereabouts.ONLINE and not self._anew.is_set():
                        await self._sleep(SETTLE)
                        await self._tell_last(link)
                    continue
                if self._presence.where is Whereabouts.AWAY:
                    await self._wait(TRIM_EVERY)
                    await self._write()
                    continue
                if running is None:
                    begun = self._presence.told
                    running = self._start(link)
                await self._wait(TRIM_EVERY, running)
                if self._anew.is_set():
                    continue
                if running.done():
                    self._note()
                    failures = 0 if self._presence.told > begun else failures
                    begun = self._presence.told
                    await self._ended(running, link, failures)
                    running = None
                    failures += 1
                elif self._answered.is_set() and self._presence.where is Whereabouts.UNKNOWN:
                    await self._prove(link)
                else:
                    self._note()
                    await self._write()
        finally:
            await self._stop(running)

    def _start(self, link: Link) -> asyncio.Task[None]:
        sure = self._presence.where is Whereabouts.ONLINE
        self._tail = Tail(
            self._hub,
            cursor=SURE if sure else PERHAPS,
            told=lambda event: self._told(link, event),
            counts=lambda _, code: self._counts(code),
        )
        return asyncio.create_task(self._tail.run(link, self._presence.told))

    async def _stop(self, running: asyncio.Task[None] | None) -> None:
        """End the telling; what it was at is told again."""
        self._tail = None
        if running is not None:
            running.cancel()
            await asyncio.wait({running})
            if not running.cancelled():
                running.exception()  # it ended by itself at the same moment

    async def _ended(self, running: asyncio.Task[None], link: Link, failures: int) -> None:
        """The telling has ended by itself: find out what to do about it."""
        self._tail = None
        try:
            await running
        except Refused as refused:
            if refused.code == NOBODY:
                await self._nobody(link, refused.seq, failures)
                return
            trouble: Exception = refused
        except StoreError as error:
            trouble = error
        delay = REFUSED_RETRY[min(failures, len(REFUSED_RETRY) - 1)]
        log.warning("Home Assistant is not told: %s; trying again in %.0f s", trouble, delay)
        await self._wait(delay)

    async def _nobody(self, link: Link, seq: int, failures: int) -> None:
        """Nobody listens to where an event goes: wait for somebody, or pass it over."""
        if self._presence.where is Whereabouts.UNKNOWN:
            code = await _code(link, self._topics.status, "online", retain=True)
            if code == NOBODY:
                await self._write()
                await self._wait(LOOK_AGAIN)
                return
        if failures + 1 >= TRIES:
            self._presence.passed(seq)
            return
        await self._wait(RETRY)

    async def _prove(self, link: Link) -> None:
        """An event was taken: was it by somebody who wants just this, or only by one who listens to everything?"""
        self._answered.clear()
        if await _code(link, self._topics.modem_event("nobody"), "{}") == NOBODY and self._tail is not None:
            self._note()
            self._presence.proven()
            self._tail.cursor = SURE
            await self._write()

    def _note(self) -> None:
        if self._tail is not None:
            self._presence.passed(self._tail.passed)

    def _counts(self, code: int) -> bool:
        if code == 0 and self._presence.where is Whereabouts.UNKNOWN and not self._proof_sought:
            self._proof_sought = True
            self._answered.set()
            self._news.set()
        return code < REFUSED and code != NOBODY

    async def _told(self, link: Link, event: Event) -> tuple[str, str] | None:
        replayed = event.seq <= self._presence.replay_until
        told = telling(event, modem_of=self._hub.modem_of, contact_of=self._contact, replayed=replayed)
        if told is None:
            return None
        if event.kind == "received" and not replayed:
            self._tell_received(link, told.imei, event.body)
        topics = self._topics
        return (topics.modem_call if told.call else topics.modem_event)(told.imei), told.payload

    async def _tell_last(self, link: Link) -> None:
        for imei in self._hub.modems():
            with contextlib.suppress(StoreError):
                latest = await self._hub.latest(imei)
                if latest is not None:
                    self._tell_received(link, imei, latest)

    def _tell_received(self, link: Link, imei: str, body: Any) -> None:
        link.publish(self._topics.modem_last_received(imei), last_received(body, contact_of=self._contact), json=True)

    def _contact(self, number: str | None) -> str | None:
        return self._numbers.get(number or "")

    # ------------------ places and pauses

    async def _write(self) -> None:
        """Write down how far it is, and give up what is too old."""
        presence = self._presence
        with contextlib.suppress(StoreError):  # it only saves repetitions
            presence.sure = await self._hub.stale(presence.sure, seconds=KEPT)
            presence.told = max(presence.told, presence.sure)
            await self._hub.advance(SURE, presence.sure)
            if presence.where is Whereabouts.UNKNOWN:
                await self._hub.advance(PERHAPS, presence.told)
            else:
                await self._hub.forget_door(PERHAPS)

    async def _wait(self, seconds: float, *others: asyncio.Task[Any]) -> None:
        """Until there is news, one of the others is done, or so many seconds are over."""
        if not self._news.is_set():
            pauses: list[asyncio.Task[Any]] = [_task(self._news.wait()), _task(self._sleep(seconds))]
            try:
                await asyncio.wait({*pauses, *others}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pause in pauses:
                    pause.cancel()
                await asyncio.wait(pauses)
        self._news.clear()


def _task(doing: Awaitable[Any]) -> asyncio.Task[Any]:
    async def do() -> None:
        await doing

    return asyncio.create_task(do())


async def _code(link: Link, topic: str, payload: str, *, retain: bool = False) -> int:
    """Publish, and the reason code of its PUBACK.

    Raises:
        LinkLost: the link ended before.
    """
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def acked(code: int) -> None:
        if not answer.done():
            answer.set_result(code)

    link.publish(topic, payload, retain=retain, acked=acked)
    ended = asyncio.create_task(link.ended.wait())
    try:
        waits: list[asyncio.Future[Any]] = [answer, ended]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.cancel()
    if not answer.done():
        raise LinkLost(link.cause or "ended")
    return answer.result()
