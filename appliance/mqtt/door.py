"""The MQTT door: what the topics mean (SPEC §5).

Promises:

* A command is acknowledged to the broker only after the hub has committed it, or after it was refused for good (S1).
* Its answer leaves before its acknowledgement on the same connection: a broker that has read the one has read the
  other. What a broken link swallowed of both comes again, and so does the answer.
* Each event is published at QoS 1, in order, until the broker has acknowledged it; the durable cursor moves over the
  longest acknowledged prefix only (R1). A broker that was away misses nothing. After a broken link some events are
  told twice: a message by its id and the event's ``seq``, a received one by its id.
* Nothing that a client sends kills or jams the door: a bad command is answered and acknowledged.

What it does not do: it decides nothing about messages, and it keeps nothing that the journal does not have.

Commands
    A command is handled in a task of its own, begun in the order of arrival; the journal commits in that order and
    many at once. At most ``receive_maximum`` are in work (MQTT 5). When the store takes nothing (disk full), a command
    is neither answered nor acknowledged: a negative PUBACK would make the broker throw it away. It waits here
    and is tried again, first in, first out, and the receive maximum holds the rest back at the broker.

Identity (S3, S4)
    ``id`` in the payload, else the packet identifier with a digest of topic and payload. That one is used over and
    over, so it binds only a redelivery (DUP) to what it repeats: without DUP the old message gives the key up. When
    this process knows that the broker has read the acknowledgement of that packet identifier, a DUP is a first sight of
    a new publication whose first transmission was lost, not a repetition. Correlation Data is no identity: a client
    that always sends the same would have its second alarm swallowed.

Sharing
    With ``[mqtt.share]`` any number of hubs drain one topic of a broker by a shared subscription; a command from there
    is one like any other, but that its answer names the hub that took it, and the base topic on which its transitions
    are told. When a hub leaves the group to others, and what it passes on to them, stands in :mod:`share
    <appliance.mqtt.share>`.

The tail
    One task per link reads events after the cursor and publishes them, as many at once as the link has room for. A
    publication that the broker refuses (MQTT 5 reason ≥ 0x80: no right, quota) is not passed over: the tail goes back
    to the cursor and tries again, later and later, and says so in the log. Commands go on meanwhile.

Retained topics are told again on every link, and when they change; ``health`` is looked at every few seconds.

A subscription outlives the setting that made it, as the broker keeps the session: after ``base_topic`` or ``share`` was
changed, what still comes on the old topics is refused, and the log says so.

Home Assistant (:mod:`appliance.mqtt.homeassistant`) and sms2mqtt (:mod:`appliance.mqtt.sms2mqtt`) are told by tails of
their own, with cursors of their own: neither holds up the other, nor the events of this page.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from appliance.errors import Rejected, StoreError
from appliance.hub import SendCommand, read_json, validated
from appliance.mqtt.client import MQTT_5, Broker, Delivery, Link, LinkLost
from appliance.mqtt.homeassistant import HomeAssistant
from appliance.mqtt.share import MOST_HOPS, PASSED_ON, SAY_EVERY, Group
from appliance.mqtt.sms2mqtt import Sms2Mqtt
from appliance.mqtt.tail import REFUSED, Refused, Tail, compact
from appliance.mqtt.topics import Request, Send, SendText, SharedTopics, Topics

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Mapping

    from appliance.hub import Event, Hub
    from appliance.mqtt.settings import HomeAssistantSettings, MqttSettings

__all__ = ["MqttDoor", "Turnstile"]

log = logging.getLogger(__name__)

CLIENT = "mqtt"
"""The hub's name for whoever speaks through the broker, which does not tell who it was."""

CURSOR = "mqtt"
ALIAS_CURSOR = "sms2mqtt"

STORE_RETRY = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between attempts while the store takes nothing; the last repeats."""

REFUSED_RETRY = (1.0, 5.0, 30.0, 60.0, 300.0)
"""Seconds before events that the broker refused are published again."""

PENDING_MOST = 4096
"""Commands in work at once where the broker knows no receive maximum (3.1.1, QoS 0). More: QoS 0 is dropped, as its
name allows; for QoS 1 the link is given up, and the broker hands over again what was not acknowledged."""

_ONCE = frozenset({"modem/restart", "modem/power_cycle", "modem/ussd"})
"""Requests that are not carried out when they come a second time (DUP): a USSD code may cost money. A text is known
again by its key; these have none."""

SHARE_EVERY = 4.0
"""Seconds between looks at the group, where nothing happens before."""

SPENT = 600.0
"""Seconds that a quota is taken for used up, where it is not said for how long."""

SETTLED_KEPT = 1024
"""Packet identifiers remembered as surely acknowledged: brokers begin again at 1, redeliveries come right after a
link."""

HEALTH_EVERY = 7.0
COUNT_EVERY = 15.0
"""Seconds between looks at how the hub is, and at what happened today: that reads all of the day's events."""

STOP_TIME = 3.0
"""Seconds for the last answers, the last cursor and ``offline`` when the hub stops."""


class Turnstile:
    """Lets commands through to the store in the order of their arrival, also those that come back to try again."""

    __slots__ = ("_is_open", "_waiting")

    def __init__(self) -> None:
        self._is_open = True
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    async def turn(self, arrival: int) -> None:
        """Return when it is open and everybody who arrived before and waits has been let through."""
        loop = asyncio.get_running_loop()
        while not self._is_open or self._waiting:
            place: tuple[int, asyncio.Future[None]] = (arrival, loop.create_future())
            self._waiting.append(place)
            if self._is_open:  # those before are let through already, and wake before what is called from now on
                loop.call_soon(_wake, place[1])
            try:
                await place[1]
            finally:
                self._waiting.remove(place)
            if self._is_open:
                return

    def close(self) -> None:
        """Let nobody through."""
        self._is_open = False

    def open(self) -> None:
        """Let all through, those who arrived first before all."""
        self._is_open = True
        for _, waiter in sorted(self._waiting, key=lambda place: place[0]):
            _wake(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class MqttDoor:
    """Run :meth:`run` as a vital task; cancelling it is the graceful stop."""

    def __init__(
        self,
        hub: Hub,
        settings: MqttSettings,
        homeassistant: HomeAssistantSettings | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.ready = asyncio.Event()
        """Set once the first link is subscribed and everything retained is told."""
        self._hub = hub
        self._settings = settings
        self._topics = Topics(settings.base_topic)
        share = settings.share
        self._shared = None if share is None else SharedTopics(share.group, share.topic)
        self._alias = None if settings.sms2mqtt is None else Sms2Mqtt(settings.sms2mqtt)
        self._group = Group(hub.hub_id, now=now())
        self._spent_until = 0.0
        self._strangers = 0
        self._now = now
        self._sleep = sleep
        self._ha = None if homeassistant is None else HomeAssistant(hub, homeassistant, self._topics, sleep=sleep)
        self._broker = Broker(
            settings,
            client_id=settings.client_id or f"modemhub-{hub.hub_id}",
            will_topic=self._topics.status,
            on_delivery=self._arrived,
            now=now,
            sleep=sleep,
            rng=rng,
        )
        self._link: Link | None = None
        self._commands: set[asyncio.Task[None]] = set()
        self._dropped = 0
        self._arrivals = 0
        self._turnstile = Turnstile()
        self._store_failures = 0
        self._reopening: asyncio.Task[None] | None = None
        self._settled: OrderedDict[int, str] = OrderedDict()

    @property
    def last_error(self) -> str | None:
        """Why there is no link to the broker, or why the last one ended."""
        return self._broker.last_error

    @property
    def connected(self) -> bool:
        """Whether there is a link to the broker now."""
        return self._link is not None and not self._link.ended.is_set()

    @property
    def report(self) -> dict[str, Any]:
        """How the door is, for the hub's status."""
        return {
            "connected": self.connected,
            "url": self._settings.url,
            "last_error": None if self.connected else self.last_error,
            "base_topic": self._settings.base_topic,
            "discovery_prefix": None if self._ha is None else self._ha.prefix,
        }

    async def run(self) -> None:
        """Keep the door open until cancelled; without a url in the settings there is none, and nothing is done."""
        if self._settings.url is None:
            await asyncio.Event().wait()
        try:
            await self._hub.cursor(CURSOR)  # a new door's place, before its first command has events of its own
            if self._ha is not None:
                await self._ha.prepare()
            if self._alias is not None:
                await self._hub.cursor(ALIAS_CURSOR)
            else:
                await self._hub.forget_door(ALIAS_CURSOR)
            await self._broker.run(self._serve)
        finally:
            last = [*self._commands, *([] if self._reopening is None else [self._reopening])]
            for task in last:
                task.cancel()
            if last:
                await asyncio.wait(last)

    # ------------------------------------------------------------------ one link

    async def _serve(self, link: Link) -> None:
        self._link = link
        commands, retained = list(self._topics.commands), [self._topics.availabilities]
        if self._ha is not None:
            self._ha.linked()
            commands.append(self._ha.status)
            retained.append(self._ha.devices)
        if self._shared is not None:
            retained.append(self._shared.hubs)
        if self._alias is not None:
            commands.append(self._alias.send)
        codes = await link.subscribe(commands, retained=retained)
        for name, code in zip([*commands, *retained], codes, strict=False):
            if code >= REFUSED:
                log.error("the broker does not let us subscribe to %s (reason 0x%02x): nothing comes there", name, code)
        doings = [self._announce, self._tell_health, self._tail]
        if self._ha is not None:
            doings.append(self._ha.tell)
        if self._alias is not None:
            doings += [self._tell_alias, self._follow_alias]
        if self._shared is not None and not link.shares:
            log.error("the broker has no shared subscriptions: no commands come by [mqtt.share]")
        elif self._shared is not None:
            await self._join(link, self._shared)
            doings.append(self._take_part)
        tasks = [asyncio.create_task(doing(link)) for doing in doings]
        ended = asyncio.create_task(link.ended.wait())
        try:
            await asyncio.wait([*tasks, ended], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._farewell(link, tasks)
            raise
        finally:
            for task in (*tasks, ended):
                task.cancel()
            await asyncio.wait([*tasks, ended])
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, LinkLost):
                raise error

    async def _take_part(self, link: Link) -> None:
        """Stay in the group that drains a topic together, or leave that to others for a while."""
        assert self._shared is not None
        in_it, said, said_at, version = True, None, 0.0, -1
        while True:
            now = self._now()
            able = any(modem["available"] for modem in self._hub.modems().values()) and self._reopening is None
            spent = now < self._spent_until
            takes_part = self._group.takes_part(able=able, spent=spent, now=now)
            says = able and not spent
            if says is not said or now - said_at >= SAY_EVERY:
                said, said_at = says, now
                told = {"hub": self._hub.hub_id, "base_topic": self._settings.base_topic, "able": said}
                link.publish(self._shared.hub(self._hub.hub_id), compact(told), qos=0, json=True)
            if takes_part and not in_it:
                await self._join(link, self._shared)
            elif in_it and not takes_part:
                log.warning("no text can be sent: commands of [mqtt.share] are left to the other hubs")
                link.unsubscribe(self._shared.commands)
            in_it = takes_part
            version = await self._regroup(version)

    async def _regroup(self, version: int) -> int:
        """Wait until a look at the group is due again; the roster's version."""
        changed = asyncio.create_task(self._hub.modems_changed(version))
        pauses: list[asyncio.Task[Any]] = [changed, asyncio.create_task(self._look_again())]
        try:
            await asyncio.wait(pauses, return_when=asyncio.FIRST_COMPLETED)
            return changed.result() if changed.done() else version
        finally:
            for pause in pauses:
                pause.cancel()
            await asyncio.wait(pauses)

    async def _look_again(self) -> None:
        await self._sleep(SHARE_EVERY)

    async def _join(self, link: Link, shared: SharedTopics) -> None:
        for name, code in zip(shared.commands, await link.subscribe(shared.commands), strict=False):
            if code >= REFUSED:
                log.error("the broker does not let us subscribe to %s (reason 0x%02x): no commands there", name, code)

    async def _farewell(self, link: Link, tasks: list[asyncio.Task[None]]) -> None:
        """Finish what is in work, tell ``offline``, say DISCONNECT.

        What takes longer than STOP_TIME comes again with the next start.
        """
        for task in tasks[:2]:
            task.cancel()
        with contextlib.suppress(TimeoutError, LinkLost):
            async with asyncio.timeout(STOP_TIME):
                if self._commands:
                    await asyncio.wait(self._commands)
                told = asyncio.Event()
                if self._alias is not None:
                    link.publish(self._alias.connected, "0", retain=True)
                link.publish(self._topics.status, "offline", retain=True, acked=lambda _: told.set())
                await _first(told, link.ended)
                await link.close()

    # ------------------------------------------------------------------ retained

    async def _announce(self, link: Link) -> None:
        """Tell everything retained, then every change of it."""
        topics = self._topics
        told: dict[str, str] = {}

        def tell(topic: str, payload: str) -> None:
            if told.get(topic) != payload:
                told[topic] = payload
                link.publish(topic, payload, retain=True, json=payload.startswith("{"))

        known: set[str] = set()
        version = -1
        while True:
            version = await self._hub.modems_changed(version)
            modems = self._hub.modems()
            for imei, state in modems.items():
                here = state.get("available", False)
                tell(topics.modem_state(imei), compact({k: v for k, v in state.items() if k != "available"}))
                tell(topics.modem_availability(imei), "online" if here else "offline")
            for imei in known - modems.keys():
                tell(topics.modem_availability(imei), "offline")
            known |= modems.keys()
            tell(topics.info, compact(self._hub.info()))
            tell(topics.status, "online")
            if self._ha is not None:
                self._ha.announce(link)
            if not self.ready.is_set():
                self.ready.set()

    async def _tell_health(self, link: Link) -> None:
        """Tell how the hub is, when it is another way."""
        told, today, due = "", dict.fromkeys(("sent", "received", "failed"), 0), self._now()
        while True:
            try:
                if self._now() >= due:
                    due = self._now() + COUNT_EVERY
                    today = await self._hub.counts.today()
                status = await self._hub.status()
            except StoreError as error:
                log.warning("how the hub is cannot be told: %s", error)
                await self._sleep(HEALTH_EVERY)
                continue
            payload = compact(
                {
                    "status": status["status"],
                    "problems": status["problems"],
                    "modems": status["modems"],
                    "queue": status["queue"],
                    "disk_full": status["store"]["full"],
                    "today": today,
                }
            )
            if payload != told:
                told = payload
                link.publish(self._topics.health, payload, retain=True, json=True)
            await self._sleep(HEALTH_EVERY)

    def _availability(self, link: Link, imei: str, delivery: Delivery) -> None:
        """What the broker retains from an earlier life of the hub: a modem that is not here any more is not online."""
        here = self._hub.modems().get(imei, {}).get("available", False)
        if delivery.retain and delivery.payload == b"online" and not here:
            link.publish(delivery.topic, "offline", retain=True)

    # ------------------------------------------------------------------ events

    async def _tail(self, link: Link) -> None:
        await self._follow(link, Tail(self._hub, cursor=CURSOR, told=self._told))

    async def _follow(self, link: Link, tail: Tail) -> None:
        """Run a tail from its cursor on, and again when the broker refuses something."""
        failures = 0
        before = -1
        while True:
            try:
                begun = await self._hub.cursor(tail.cursor)
                if begun > before:
                    failures = 0
                before = begun
                await tail.run(link, begun)
            except (Refused, StoreError) as refused:
                delay = REFUSED_RETRY[min(failures, len(REFUSED_RETRY) - 1)]
                failures += 1
                log.warning("events are not told: %s; trying again in %.0f s", refused, delay)
                await self._sleep(delay)

    async def _told(self, event: Event) -> tuple[str, str] | None:
        match event.kind:
            case "message":
                topic = self._topics.message(event.subject)
            case "received":
                topic = self._topics.received
            case "call":
                topic = self._topics.call
            case "recovery" if event.body.get("modem") is not None:
                topic = self._topics.modem_recovery(event.subject)
            case _:
                return None
        return topic, compact(event.body)

    # ------------------------------------------------------------------ commands

    def _arrived(self, link: Link, delivery: Delivery) -> None:
        hub = None if self._shared is None else self._shared.hub_of(delivery.topic)
        if hub is not None:
            self._group.heard(hub, delivery.payload, now=self._now())
            return
        imei = self._topics.modem_of_availability(delivery.topic)
        if imei is not None:
            self._availability(link, imei, delivery)
            return
        if self._ha is not None and self._ha.arrived(link, delivery):
            return
        if len(self._commands) >= PENDING_MOST:
            if delivery.qos == 0:
                self._dropped += 1
                if self._dropped.bit_count() == 1:
                    log.error("%d commands at QoS 0 dropped: more than the store can take", self._dropped)
                return
            asyncio.get_running_loop().call_soon(link.abort, "more commands than the store can take")
            return
        if not delivery.dup:
            self._settled.pop(delivery.packet_id, None)
        task = asyncio.create_task(self._command(link, delivery, self._now()))
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    # ------------------------------------------------------------------ sms2mqtt

    async def _tell_alias(self, link: Link) -> None:
        """Tell that the hub is there, and how its best modem hears, in the words of sms2mqtt."""
        assert self._alias is not None
        link.publish(self._alias.connected, "1", retain=True)
        told: dict[str, Any] = {}
        version = -1
        while True:
            version = await self._hub.modems_changed(version)
            best = self._alias.best(self._hub.modems().values())
            if best is None:
                continue
            news = {self._alias.signal: self._alias.signal_of(best), self._alias.network: self._alias.network_of(best)}
            for topic, body in news.items():
                if body is not None and told.get(topic) != body:
                    told[topic] = body
                    link.publish(topic, compact(body), json=True)

    async def _follow_alias(self, link: Link) -> None:
        await self._follow(link, Tail(self._hub, cursor=ALIAS_CURSOR, told=self._alias_told))

    async def _alias_told(self, event: Event) -> tuple[str, str] | None:
        assert self._alias is not None
        match event.kind:
            case "received":
                topic, body = self._alias.received, self._alias.arrived(event.body)
            case "message" if (outcome := self._alias.outcome(event.body)) is not None:
                message = await self._hub.message(event.subject) or {}
                topic, body = self._alias.sent, outcome | {"text": message.get("text") or ""}
            case _:
                return None
        return None if body is None else (topic, compact(body))

    async def _alias_command(self, link: Link, delivery: Delivery, arrived: float) -> None:
        """Text each number of a command of sms2mqtt; what is accepted is told when it has left."""
        assert self._alias is not None
        try:
            wish = self._alias.wish(delivery.payload, retained=delivery.retain)
        except Rejected as error:
            link.publish(self._alias.sent, compact(self._alias.wrong(delivery.payload, error.detail)), json=True)
            link.acknowledge(delivery)
            return
        key, reusable = self._key(delivery)
        for number in wish.numbers:
            try:
                command = validated(SendCommand, {"to": number, "text": wish.text})
                await self._accept(delivery, arrived, command, key=key and f"{key}:{number}", reusable=reusable)
            except Rejected as error:
                told = self._alias.refused(number, wish.text, error.detail, at=self._hub.time())
                link.publish(self._alias.sent, compact(told), json=True)
        link.acknowledge(delivery, settled=lambda: self._settle(delivery))

    async def _command(self, link: Link, delivery: Delivery, arrived: float) -> None:
        if delivery.retain and not delivery.payload:  # somebody clears a retained command: that is no command
            link.acknowledge(delivery)
            return
        answer: dict[str, Any] = {"status": "ok"}
        try:
            if self._alias is not None and delivery.topic == self._alias.send:
                await self._alias_command(link, delivery, arrived)
                return
            await self._carry_out(link, delivery, arrived, answer)
        except Rejected as error:
            answer = _refusal(answer, error)
            if self._passes_on(link, delivery, arrived, error, answer):
                return
        except LinkLost:
            return  # the broker will hand it over again
        except StoreError as error:
            answer = _refusal(answer, Rejected("store_full", f"the store takes nothing now: {error}"))
        except Exception:  # a door's outermost handler: one command must not take the others with it
            log.exception("a command failed")
            answer = _refusal(answer, Rejected("internal", "the hub failed at this command; its log tells why"))
        self._answer(link, delivery, answer)

    def _passes_on(
        self, link: Link, delivery: Delivery, arrived: float, error: Rejected, answer: Mapping[str, Any]
    ) -> bool:
        """Publish a shared command again that only this hub refuses; answered, if the broker does not take it."""
        if self._shared is None or self._shared.meaning(delivery.topic) is None or error.code not in PASSED_ON:
            return False
        now = self._now()
        if error.code == "quota_exceeded":
            self._spent_until = now + (error.retry_after or SPENT)
        passed = (*delivery.passed, self._hub.hub_id)
        if link.version != MQTT_5 or len(passed) > MOST_HOPS or not self._group.others(now=now, without=passed):
            return False
        left = None if delivery.expires_in is None else max(0, delivery.expires_in - int(now - arrived))

        def acked(code: int) -> None:
            if code:
                self._answer(link, delivery, answer)
            else:
                link.acknowledge(delivery)

        link.publish(
            delivery.topic, delivery.payload, like=replace(delivery, passed=passed, expires_in=left), acked=acked
        )
        return True

    async def _carry_out(self, link: Link, delivery: Delivery, arrived: float, answer: dict[str, Any]) -> None:
        """Do what the delivery asks for, and put what is to be told into ``answer``, the transaction before all."""
        if delivery.retain:
            raise Rejected("retained", "a retained command is refused: each reconnect would carry it out again")
        if len(delivery.payload) > self._settings.max_payload:
            raise Rejected("too_long", f"the payload is longer than {self._settings.max_payload} octets")
        meaning: Request | Send | SendText | None = self._topics.meaning(delivery.topic)
        if meaning is None and self._shared is not None:
            meaning = self._shared.meaning(delivery.topic)
        match meaning:
            case Send():
                given = _object(delivery.payload)
                _keep_transaction(given, answer)
                answer |= await self._send(delivery, arrived, validated(SendCommand, given))
            case SendText(to=to):
                text = _text(delivery.payload)
                answer |= await self._send(delivery, arrived, validated(SendCommand, {"to": to, "text": text}))
            case Request(verb=verb):
                given = _object(delivery.payload) if delivery.payload else {}
                _keep_transaction(given, answer)
                if delivery.dup and verb in _ONCE:
                    raise Rejected("repeated", "a lost connection brought this again, and it may have been done: look")
                answer |= await self._request(link, verb, given)
            case None:
                self._stranger(delivery.topic)
                raise Rejected("not_implemented", "this topic is none of the hub's commands")

    def _stranger(self, topic: str) -> None:
        """Say once that a session at the broker subscribes to more than the settings of now do."""
        if not self._strangers:
            log.error(
                "commands come on %s, which nothing in the settings subscribes to: the broker still keeps the session"
                " of earlier settings; they are refused. Change mqtt.client_id, or have the broker forget the session",
                topic,
            )
        self._strangers += 1

    async def _send(self, delivery: Delivery, arrived: float, command: SendCommand) -> dict[str, Any]:
        key, reusable = (None, False) if command.id is not None else self._key(delivery)
        return await self._accept(delivery, arrived, command, key=key, reusable=reusable)

    async def _accept(
        self, delivery: Delivery, arrived: float, command: SendCommand, *, key: str | None, reusable: bool
    ) -> dict[str, Any]:
        self._arrivals += 1
        arrival = self._arrivals
        while True:
            await self._turnstile.turn(arrival)
            expires_in = None if delivery.expires_in is None else delivery.expires_in - (self._now() - arrived)
            try:
                sent = await self._hub.send(
                    command,
                    client=CLIENT,
                    client_daily_cap=self._settings.daily_cap,
                    key=key,
                    reusable_key=reusable,
                    expires_in=expires_in,
                )
            except StoreError as error:
                self._store_refuses(error)
                continue
            self._store_failures = 0
            answer: dict[str, Any] = {"id": sent.ids[0]} if sent.single else {"ids": list(sent.ids)}
            if sent.duplicate:
                answer["duplicate"] = True
            return answer

    def _store_refuses(self, error: StoreError) -> None:
        """Hold all commands back for a while, once for all that failed together."""
        if self._reopening is None:
            self._turnstile.close()
            delay = STORE_RETRY[min(self._store_failures, len(STORE_RETRY) - 1)]
            self._store_failures += 1
            log.error("no command can be accepted: %s; trying again in %.1f s", error, delay)
            self._reopening = asyncio.create_task(self._reopen(delay))

    async def _reopen(self, delay: float) -> None:
        await self._sleep(delay)
        self._reopening = None
        self._turnstile.open()

    def _key(self, delivery: Delivery) -> tuple[str | None, bool]:
        """The idempotency key of a delivery, and whether an older message gives it up."""
        if delivery.qos == 0:
            return None, False
        key = _packet_key(delivery)
        reusable = not delivery.dup or self._settled.pop(delivery.packet_id, None) == key
        return key, reusable

    def _settle(self, delivery: Delivery) -> None:
        """The broker has read the acknowledgement of this delivery: nothing repeats it any more."""
        self._settled[delivery.packet_id] = _packet_key(delivery)
        self._settled.move_to_end(delivery.packet_id)
        if len(self._settled) > SETTLED_KEPT:
            self._settled.popitem(last=False)

    # ------------------------------------------------------------------ requests

    async def _request(self, link: Link, verb: str, given: Mapping[str, Any]) -> dict[str, Any]:
        match verb:
            case "message/preview":
                return {"result": self._hub.preview(validated(SendCommand, given))}
            case "message/cancel":
                message = await self._hub.cancel(_string(given, "id"), client=None)
                return {"id": message["id"], "result": message}
            case "modem/restart":
                await self._hub.restart_modem(_string(given, "modem"))
                return {}
            case "inbox/replay":
                return {"result": {"replayed": await self._replay(link, given)}}
            case "modem/power_cycle":
                return {"result": {"done": await self._hub.power_cycle_modem(_string(given, "modem"))}}
            case "modem/rescan":
                self._hub.rescan()
                return {}
            case "modem/forget":
                self._forget(link, _string(given, "modem"))
                return {}
            case "modem/ussd":
                code = None if given.get("text", "") is None else _string(given, "text")
                return {"result": await self._hub.ussd(_string(given, "modem"), code)}
            case _:
                raise Rejected("not_implemented", "this topic is none of the hub's commands")

    def _forget(self, link: Link, imei: str) -> None:
        if any(character in imei for character in "/+#"):
            raise Rejected("invalid", "this is no IMEI", pointer="/modem")
        self._hub.forget_modem(imei)
        if self._ha is not None:
            self._ha.forget(link, imei)
        for topic in (self._topics.modem_state(imei), self._topics.modem_availability(imei)):
            link.publish(topic, "", retain=True)

    async def _replay(self, link: Link, given: Mapping[str, Any]) -> int:
        since = given.get("since_seq", 0)
        if not isinstance(since, int) or isinstance(since, bool) or since < 0:
            raise Rejected("invalid", "since_seq is a number from 0", pointer="/since_seq")
        replayed = 0
        async for received in self._hub.replay(since):
            await link.room()
            link.publish(self._topics.received, compact(received), bulk=True, json=True)
            replayed += 1
        return replayed

    def _answer(self, link: Link, delivery: Delivery, answer: Mapping[str, Any]) -> None:
        """Answer, then acknowledge: in this order on the wire."""
        response = self._topics.response
        if self._shared is not None and self._shared.meaning(delivery.topic) is not None:
            response = self._shared.response
            answer = {**answer, "hub": self._hub.hub_id, "base_topic": self._settings.base_topic}
        payload = compact(answer)
        link.publish(response, payload, json=True)
        to = delivery.response_topic
        if to is not None and to != response and self._may_answer_on(to):
            link.publish(to, payload, json=True, correlation=delivery.correlation)
        link.acknowledge(delivery, settled=lambda: self._settle(delivery))

    def _may_answer_on(self, topic: str) -> bool:
        ours = (self._topics, self._shared, self._alias)
        return all(topics.may_answer_on(topic) for topics in ours if topics is not None)


async def _first(*events: asyncio.Event) -> None:
    """Return when one of the events is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)


def _packet_key(delivery: Delivery) -> str:
    digest = hashlib.sha256(delivery.topic.encode() + b"\0" + delivery.payload)
    return f"mqtt:{delivery.packet_id}:{digest.hexdigest()}"


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise Rejected("invalid", f"the text is not UTF-8 at octet {error.start}") from error


def _object(payload: bytes) -> dict[str, Any]:
    value = read_json(payload)
    if not isinstance(value, dict):
        raise Rejected("invalid", "the payload must be a JSON object, as in {…}", pointer="")
    return value


def _string(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise Rejected("invalid", f"{name} is missing", pointer=f"/{name}")
    return value


def _keep_transaction(given: Mapping[str, Any], answer: dict[str, Any]) -> None:
    transaction = given.get("transaction")
    if isinstance(transaction, str | int) and not isinstance(transaction, bool):
        answer["transaction"] = transaction


def _refusal(answer: Mapping[str, Any], error: Rejected) -> dict[str, Any]:
    told: dict[str, Any] = {"code": error.code, "detail": error.detail}
    if error.pointer is not None:
        told["pointer"] = error.pointer
    if error.retry_after is not None:
        told["retry_after"] = error.retry_after
    return {k: v for k, v in answer.items() if k == "transaction"} | {"status": "error", "error": told}
