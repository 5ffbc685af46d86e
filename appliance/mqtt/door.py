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

The tail
    One task per link reads events after the cursor and publishes them, as many at once as the link has room for. A
    publication that the broker refuses (MQTT 5 reason ≥ 0x80: no right, quota) is not passed over: the tail goes back
    to the cursor and tries again, later and later, and says so in the log. Commands go on meanwhile.

Retained topics are told again on every link, and when they change.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections import OrderedDict, deque
from functools import partial
from typing import TYPE_CHECKING, Any

from appliance.errors import ModemhubError, Rejected, StoreError
from appliance.hub import SendCommand, read_json, validated
from appliance.mqtt.client import Broker, Delivery, Link, LinkLost
from appliance.mqtt.topics import Request, Send, SendText, Topics

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Mapping

    from appliance.hub import Event, Hub
    from appliance.mqtt.settings import MqttSettings

__all__ = ["MqttDoor", "Prefix", "Turnstile"]

log = logging.getLogger(__name__)

CLIENT = "mqtt"
"""The hub's name for whoever speaks through the broker, which does not tell who it was."""

CURSOR = "mqtt"

EVENTS_AT_ONCE = 200
"""Rows per read of the event table."""

CURSOR_WITHIN = 0.05
"""Seconds in which an acknowledged event moves the cursor. A text is told four times within such a while, and each
commit is an fsync on a card that wears; what a crash in it costs is a repetition."""

CURSOR_EVERY = 64
"""Acknowledged events after which the cursor is written at once."""

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

SETTLED_KEPT = 1024
"""Packet identifiers remembered as surely acknowledged: brokers begin again at 1, redeliveries come right after a
link."""

STOP_TIME = 3.0
"""Seconds for the last answers, the last cursor and ``offline`` when the hub stops."""

_REFUSED = 0x80


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


class _RefusedByBroker(ModemhubError):
    """The broker does not take a publication."""


class MqttDoor:
    """Run :meth:`run` as a vital task; cancelling it is the graceful stop."""

    def __init__(
        self,
        hub: Hub,
        settings: MqttSettings,
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
        self._now = now
        self._sleep = sleep
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

    async def run(self) -> None:
        """Keep the door open until cancelled; without a url in the settings there is none, and nothing is done."""
        if self._settings.url is None:
            await asyncio.Event().wait()
        try:
            await self._hub.cursor(CURSOR)  # a new door's place, before its first command has events of its own
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
        codes = await link.subscribe(self._topics.commands, retained=[self._topics.availabilities])
        for name, code in zip([*self._topics.commands, self._topics.availabilities], codes, strict=False):
            if code >= _REFUSED:
                log.error("the broker does not let us subscribe to %s (reason 0x%02x): no commands there", name, code)
        tasks = [asyncio.create_task(self._announce(link)), asyncio.create_task(self._tail(link))]
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

    async def _farewell(self, link: Link, tasks: list[asyncio.Task[None]]) -> None:
        """Finish what is in work, tell ``offline``, say DISCONNECT.

        What takes longer than STOP_TIME comes again with the next start.
        """
        tasks[0].cancel()
        with contextlib.suppress(TimeoutError, LinkLost):
            async with asyncio.timeout(STOP_TIME):
                if self._commands:
                    await asyncio.wait(self._commands)
                told = asyncio.Event()
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
                link.publish(topic, payload, retain=True)

        known: set[str] = set()
        version = -1
        while True:
            version = await self._hub.modems_changed(version)
            modems = self._hub.modems()
            for imei, state in modems.items():
                here = state.get("available", False)
                tell(topics.modem_state(imei), _json({k: v for k, v in state.items() if k != "available"}))
                tell(topics.modem_availability(imei), "online" if here else "offline")
            for imei in known - modems.keys():
                tell(topics.modem_availability(imei), "offline")
            known |= modems.keys()
            tell(topics.info, _json(self._hub.info()))
            tell(topics.status, "online")
            if not self.ready.is_set():
                self.ready.set()

    def _availability(self, link: Link, imei: str, delivery: Delivery) -> None:
        """What the broker retains from an earlier life of the hub: a modem that is not here any more is not online."""
        here = self._hub.modems().get(imei, {}).get("available", False)
        if delivery.retain and delivery.payload == b"online" and not here:
            link.publish(delivery.topic, "offline", retain=True)

    # ------------------------------------------------------------------ events

    async def _tail(self, link: Link) -> None:
        failures = 0
        before = -1
        while True:
            try:
                begun = await self._hub.cursor(CURSOR)
                if begun > before:
                    failures = 0
                before = begun
                await self._tell_events(link, begun)
            except (_RefusedByBroker, StoreError) as refused:
                delay = REFUSED_RETRY[min(failures, len(REFUSED_RETRY) - 1)]
                failures += 1
                log.warning("events are not told: %s; trying again in %.0f s", refused, delay)
                await self._sleep(delay)

    async def _tell_events(self, link: Link, begun: int) -> None:
        """Publish the events after ``begun`` and move the cursor, until the link ends or the broker refuses one."""
        prefix = Prefix(begun)
        moved = asyncio.Event()
        refused: list[int] = []

        def acknowledged(seq: int, code: int) -> None:
            if code >= _REFUSED:
                refused.append(code)
            else:
                prefix.acknowledge(seq)
            moved.set()

        async def publish() -> None:
            seq = begun
            while True:
                events = await self._hub.events(seq, limit=EVENTS_AT_ONCE)
                if not events:
                    await self._hub.wait_event(seq)
                for event in events:
                    topic = self._topic(event)
                    seq = event.seq
                    if topic is not None:
                        await link.room()
                    prefix.add(seq)
                    if topic is None:
                        acknowledged(seq, 0)
                    else:
                        link.publish(topic, _json(event.body), bulk=True, acked=partial(acknowledged, seq))

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
            raise _RefusedByBroker(f"the broker refuses one with reason 0x{refused[0]:02x}")
        finally:
            if timer is not None:
                timer.cancel()
            publishing.cancel()
            await asyncio.wait({publishing})
            if prefix.passed > written:
                await self._advance(prefix.passed)

    def _topic(self, event: Event) -> str | None:
        match event.kind:
            case "message":
                return self._topics.message(event.subject)
            case "received":
                return self._topics.received
            case "call":
                return self._topics.call
            case "recovery" if event.body.get("modem") is not None:
                return self._topics.modem_recovery(event.subject)
            case _:
                return None

    async def _advance(self, seq: int) -> None:
        """Move the cursor. It only saves repetitions: when the store takes nothing now, the next burst moves it."""
        try:
            await self._hub.advance(CURSOR, seq)
        except StoreError as error:
            log.warning("the cursor could not be written: %s", error)

    # ------------------------------------------------------------------ commands

    def _arrived(self, link: Link, delivery: Delivery) -> None:
        imei = self._topics.modem_of_availability(delivery.topic)
        if imei is not None:
            self._availability(link, imei, delivery)
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

    async def _command(self, link: Link, delivery: Delivery, arrived: float) -> None:
        if delivery.retain and not delivery.payload:  # somebody clears a retained command: that is no command
            link.acknowledge(delivery)
            return
        answer: dict[str, Any] = {"status": "ok"}
        try:
            await self._carry_out(link, delivery, arrived, answer)
        except Rejected as error:
            answer = _refusal(answer, error)
        except LinkLost:
            return  # the broker will hand it over again
        except StoreError as error:
            answer = _refusal(answer, Rejected("store_full", f"the store takes nothing now: {error}"))
        except Exception:  # a door's outermost handler: one command must not take the others with it
            log.exception("a command failed")
            answer = _refusal(answer, Rejected("internal", "the hub failed at this command; its log tells why"))
        self._answer(link, delivery, answer)

    async def _carry_out(self, link: Link, delivery: Delivery, arrived: float, answer: dict[str, Any]) -> None:
        """Do what the delivery asks for, and put what is to be told into ``answer``, the transaction before all."""
        if delivery.retain:
            raise Rejected("retained", "a retained command is refused: each reconnect would carry it out again")
        if len(delivery.payload) > self._settings.max_payload:
            raise Rejected("too_long", f"the payload is longer than {self._settings.max_payload} octets")
        match self._topics.meaning(delivery.topic):
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
                raise Rejected("not_implemented", "this topic is none of the hub's commands")

    async def _send(self, delivery: Delivery, arrived: float, command: SendCommand) -> dict[str, Any]:
        key, reusable = self._key(delivery, command)
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

    def _key(self, delivery: Delivery, command: SendCommand) -> tuple[str | None, bool]:
        """The idempotency key of a delivery, and whether an older message gives it up."""
        if command.id is not None or delivery.qos == 0:
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
            case "modem/ussd":
                code = None if given.get("text", "") is None else _string(given, "text")
                return {"result": await self._hub.ussd(_string(given, "modem"), code)}
            case _:
                raise Rejected("not_implemented", "this topic is none of the hub's commands")

    async def _replay(self, link: Link, given: Mapping[str, Any]) -> int:
        since = given.get("since_seq", 0)
        if not isinstance(since, int) or isinstance(since, bool) or since < 0:
            raise Rejected("invalid", "since_seq is a number from 0", pointer="/since_seq")
        replayed = 0
        async for received in self._hub.replay(since):
            await link.room()
            link.publish(self._topics.received, _json(received), bulk=True)
            replayed += 1
        return replayed

    def _answer(self, link: Link, delivery: Delivery, answer: Mapping[str, Any]) -> None:
        """Answer, then acknowledge: in this order on the wire."""
        payload = _json(answer)
        link.publish(self._topics.response, payload)
        to = delivery.response_topic
        if to is not None and to != self._topics.response and self._topics.may_answer_on(to):
            link.publish(to, payload, correlation=delivery.correlation)
        link.acknowledge(delivery, settled=lambda: self._settle(delivery))


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


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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
