"""paho-mqtt on the asyncio loop: one link to the broker after another, for ever.

Promises: a delivery is acknowledged only when the caller says so (:meth:`Link.acknowledge`), never on another link than
the one it came by. What is handed to one link leaves in the order in which it was handed over, acknowledgements
included. No more publications are on their way than both sides allow. A broker that went silent is noticed within 1.5
times the keep-alive and looked for again after 1 s … 5 min, for ever.

What it does not do: it keeps nothing across links. A publication that the broker had not acknowledged when a link broke
is the caller's to hand over again; the journal's cursor does that. It knows no topic's meaning.

Theory of operation: paho does the packets, the loop does the waiting. Each link has a paho client of its own, so that
no packet identifier or half-sent packet of an old link can leak into a new one. TCP and TLS are brought up in a thread,
as paho blocks there; from then on paho runs on the loop alone: ``loop_read`` when the socket is readable,
``loop_write`` once per turn of the loop in which something was queued, ``loop_misc`` (its pings) by the watch. paho
holds a plain lock while it calls back: nothing in a callback may close the socket.

::

    Broker.run ──▶ Link.open ──CONNACK──▶ serve(link) ──▶ ended ──▶ back-off ──▶ Link.open …
                       │ 0x84, or a 3.1.1 broker's return code 1
                       └──▶ the same with 3.1.1 at once, and from then on
                       │ closed without CONNACK (old brokers do that to a version 5)
                       └──▶ the next attempt with 3.1.1, the one after with 5 again

Sections: MQTT 5.0 §3.1.2.11.3 (Receive Maximum), §3.2.2.2 (CONNACK reason), §4.4 (redelivery), §4.9 (flow control);
MQTT 3.1.1 §3.2.2.3.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from appliance.errors import ModemhubError
from appliance.mqtt.trouble import in_words

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from paho.mqtt.reasoncodes import ReasonCode

    from appliance.mqtt.settings import MqttSettings

__all__ = ["MQTT_5", "Broker", "Delivery", "Link", "LinkLost"]

log = logging.getLogger(__name__)

BACK_OFF_FIRST = 1.0
BACK_OFF_LONGEST = 300.0
"""Seconds: a broker that restarts is found at once, one that is away for days is not hammered."""

STEADY_AFTER = 60.0
"""Seconds a link must have lasted to start the back-off anew: two hubs with one client id throw each other out once a
second otherwise."""

CONNECT_TIME = 10.0
"""Seconds for TCP and TLS, and again for the CONNACK."""

SILENCE = 1.5
"""Keep-alives without an octet from the broker after which it is gone; the broker judges us by the same measure (MQTT
5.0 §3.1.2.10)."""

WATCH_SHARE = 6
"""The watch looks six times per keep-alive: paho's ping goes out at 7/6 of it at the latest, which leaves the answer a
third."""

LARGEST_PACKET = 1 << 20
"""Octets that we take (MQTT 5.0 §3.1.2.11.4): room for refusing a too long command properly, none for exhausting
memory."""

BUFFER = 1 << 16
"""Octets taken from the socket at once."""

DISCONNECT = 0xE0
"""First octet of the packet (MQTT 5.0 §3.14)."""

_UNSUPPORTED_PROTOCOL = 0x84
_REFUSED = 0x80


def _properties(packet_type: int) -> Any:
    """Properties of paho's take any attribute; their class is not typed."""
    return Properties(packet_type)


def _as_json(properties: Any) -> Any:
    properties.PayloadFormatIndicator = 1
    properties.ContentType = "application/json"
    return properties


class _Packed(Properties):
    """Properties that are the same each time: packing them costs as much as sending a packet."""

    packed = bytes(_as_json(_properties(PacketTypes.PUBLISH)).pack())

    def pack(self) -> bytes:
        """What is on the wire."""
        return self.packed


_JSON = _Packed(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho's classes are not typed


MQTT_5 = MQTTProtocolVersion.MQTTv5

PASSED = "modemhub-passed"
"""Name of the User Property that lists, one each, the hubs that have passed a command on."""


class LinkLost(ModemhubError):
    """There is no link to the broker, or no more."""

    def __init__(self, detail: str, *, unsupported_protocol: bool = False, unanswered: bool = False) -> None:
        super().__init__(detail)
        self.unsupported_protocol = unsupported_protocol
        self.unanswered = unanswered


@dataclass(frozen=True, slots=True)
class Delivery:
    """One PUBLISH from the broker."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int
    response_topic: str | None = None
    correlation: bytes | None = None
    expires_in: int | None = None
    """Seconds (Message Expiry Interval, as left over when the broker sent it)."""
    passed: tuple[str, ...] = ()
    """The hubs that have passed it on (User Property)."""


def _like(delivery: Delivery) -> Any:
    properties = _properties(PacketTypes.PUBLISH)
    if delivery.response_topic is not None:
        properties.ResponseTopic = delivery.response_topic
    if delivery.correlation is not None:
        properties.CorrelationData = delivery.correlation
    if delivery.expires_in is not None:
        properties.MessageExpiryInterval = delivery.expires_in
    properties.UserProperty = [(PASSED, hub) for hub in delivery.passed]
    return properties


@dataclass(frozen=True, slots=True)
class _Publication:
    topic: str
    payload: bytes | str
    qos: int
    retain: bool
    bulk: bool
    json: bool
    correlation: bytes | None
    like: Delivery | None
    acked: Callable[[int], None] | None
    serial: int


@dataclass(frozen=True, slots=True)
class _Acknowledgement:
    packet_id: int
    settled: Callable[[], None] | None
    serial: int


class _Paho(paho.Client):
    """paho with a buffer on each side of its socket.

    paho reads a packet with three system calls or more and writes each packet with one of its own. Overriding its
    private methods for octets takes what there is at once and sends what is queued at once: about a fifth of the time
    that a command costs, and a third of the segments on a slow network. ``loop_read`` works on what :meth:`fill` took.
    The third one overridden is its TLS handshake.
    """

    received = b""
    """Taken from the socket and not read by paho yet."""
    written = b""
    """Written by paho and not taken by the socket yet."""
    at = 0
    broken: OSError | None = None
    over = False
    server_name: str | None = None
    """What the certificate is to be valid for, and what is asked for by SNI; None: the host."""

    def _ssl_wrap_socket(self, tcp_sock: Any) -> ssl.SSLSocket:
        """The same as paho's own, but a handshake that fails leaves no open socket behind."""
        assert self._ssl_context is not None
        wrapped = self._ssl_context.wrap_socket(
            tcp_sock, server_hostname=self.server_name or self.host, do_handshake_on_connect=False
        )
        try:
            wrapped.settimeout(self.connect_timeout)
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    def fill(self) -> None:
        """Take what the socket has, at most a buffer full."""
        try:
            taken = super()._sock_recv(BUFFER)
        except BlockingIOError:
            return
        except OSError as error:
            self.broken = error
            return
        self.over = not taken
        self.received = self.received[self.at :] + taken
        self.at = 0

    @property
    def readable(self) -> bool:
        """Whether paho has something to read, the end of the connection included."""
        return self.at < len(self.received) or self.over or self.broken is not None

    def drain(self) -> None:
        """Send what was written, as far as the socket takes it."""
        try:
            while self.written:
                self.written = self.written[super()._sock_send(self.written) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self.broken = error

    def _sock_recv(self, bufsize: int) -> bytes:
        if self.at == len(self.received):
            if self.broken is not None:
                raise self.broken
            if self.over:
                return b""
            raise BlockingIOError
        taken = self.received[self.at : self.at + bufsize]
        self.at += len(taken)
        return taken

    def _sock_send(self, buf: bytes | bytearray) -> int:
        self.written += bytes(buf)
        if buf[0] == DISCONNECT:  # paho closes the socket as soon as this is sent
            self.drain()
        return len(buf)


class Link:
    """One MQTT session over one TCP connection; ends once and for all."""

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client_id: str,
        version: MQTTProtocolVersion,
        will_topic: str,
        on_delivery: Callable[[Link, Delivery], None],
        now: Callable[[], float],
    ) -> None:
        self.version = version
        self.cause: str | None = None
        """Why the link ended."""
        self.ended = asyncio.Event()
        self.shares = True
        """Whether the broker has shared subscriptions (MQTT 5.0 §3.2.2.3.13); a 3.1.1 broker does not say."""
        self._settings = settings
        self._on_delivery = on_delivery
        self._now = now
        self._heard = now()
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._subscribed: dict[int, asyncio.Future[list[int]]] = {}
        self._attached = False
        self._flush_scheduled = False
        self._writing = False
        self._window = settings.inflight
        self._queue: deque[_Publication | _Acknowledgement] = deque()
        self._waiting: dict[int, _Publication] = {}
        self._unsettled: deque[tuple[int, Callable[[], None]]] = deque()
        self._sent = 0
        self._bulk = 0
        self._room = asyncio.Event()
        v5 = version == MQTTProtocolVersion.MQTTv5
        self._paho = _Paho(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if v5 else False,
            protocol=version,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        # No limit in paho, which searches everything that waits at each PUBACK; the window is ours.
        self._paho.max_inflight_messages = 0
        self._paho.connect_timeout = CONNECT_TIME
        if settings.username is not None:
            password = None if settings.password is None else settings.password.get_secret_value()
            self._paho.username_pw_set(settings.username, password)
        will = None
        if v5 and settings.will_delay:
            will = _properties(PacketTypes.WILLMESSAGE)
            will.WillDelayInterval = settings.will_delay
        self._paho.will_set(will_topic, "offline", qos=1, retain=True, properties=will)
        self._paho.on_connect = self._paho_connect
        self._paho.on_disconnect = self._paho_disconnect
        self._paho.on_message = self._paho_message
        self._paho.on_publish = self._paho_publish
        self._paho.on_subscribe = self._paho_subscribe
        self._paho.on_socket_close = self._paho_socket_close
        self._paho.on_socket_register_write = self._paho_register_write
        self._paho.on_socket_unregister_write = self._paho_unregister_write

    # ------------------ life

    async def open(self) -> None:
        """Connect, until the broker's CONNACK.

        Raises:
            LinkLost: the broker cannot be reached or refuses; ``unsupported_protocol`` when it wants another version.
        """
        connecting = self._loop.run_in_executor(None, self._connect)
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(self._abandon)
            raise
        except OSError as error:
            raise LinkLost(in_words(error, self._settings)) from error
        sock = self._paho.socket()
        if sock is None:
            raise LinkLost("the connection closed at once", unanswered=True)
        # paho writes packet by packet: without this a burst waits for the broker's delayed acknowledgement, 40 ms each
        # time.
        cast("socket.socket", sock).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard = self._now()
        self._attached = True
        self._loop.add_reader(sock.fileno(), self._readable)
        self._flush()
        try:
            await self._connected
        except asyncio.CancelledError:
            self.abort("stopped")
            raise

    def _connect(self) -> None:
        """In a thread: TCP, TLS, and the CONNECT packet queued."""
        settings = self._settings
        if settings.tls:
            self._paho.tls_set_context(_context(settings))
            self._paho.server_name = settings.server_name
        if self.version == MQTTProtocolVersion.MQTTv5:
            wishes = _properties(PacketTypes.CONNECT)
            wishes.SessionExpiryInterval = min(int(settings.session_expiry_days * 86400), 0xFFFFFFFE)
            wishes.ReceiveMaximum = settings.receive_maximum
            wishes.MaximumPacketSize = LARGEST_PACKET
            self._paho.connect(settings.host, settings.port, settings.keepalive, clean_start=False, properties=wishes)
        else:
            self._paho.connect(settings.host, settings.port, settings.keepalive)

    def _abandon(self, connecting: asyncio.Future[None]) -> None:
        if not connecting.cancelled() and connecting.exception() is None:
            self.abort("stopped")

    async def watch(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Ping, and end the link when the broker is silent for too long; returns when the link has ended."""
        while not self.ended.is_set():
            keepalive = self._paho.keepalive or self._settings.keepalive
            longest = SILENCE * keepalive if self._connected.done() else CONNECT_TIME
            left = longest - (self._now() - self._heard)
            if left > 0:
                await sleep(min(left, (keepalive if self._connected.done() else CONNECT_TIME) / WATCH_SHARE))
                if self._attached:
                    self._paho.loop_misc()
            elif self._attached:
                self.abort(f"nothing heard from the broker for {longest:.0f} s")
            else:  # TCP and TLS have their own time-out, in the thread
                self._heard = self._now()

    async def close(self) -> None:
        """Say DISCONNECT, so that the last will is not told; returns when the link has ended."""
        if self.ended.is_set():
            return
        self._paho.disconnect()
        await self.ended.wait()

    def abort(self, cause: str) -> None:
        """End the link without a word. Not to be called from a callback of paho's."""
        self._end(cause)
        sock = self._paho.socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                cast("socket.socket", sock).shutdown(socket.SHUT_RDWR)  # paho types it as the least that it needs
            while self._paho.socket() is not None:  # paho reads what is left, then the end, and cleans up
                self._read()

    def _end(self, cause: str, *, unsupported_protocol: bool = False, unanswered: bool = False) -> None:
        if self.ended.is_set():
            return
        self.cause = cause
        self.ended.set()
        lost = LinkLost(cause, unsupported_protocol=unsupported_protocol, unanswered=unanswered)
        if not self._connected.done():
            self._connected.set_exception(lost)
            self._connected.exception()  # nobody may be waiting for it
        for answer in self._subscribed.values():
            if not answer.done():
                answer.set_exception(lost)
        self._queue.clear()
        self._room.set()

    # ------------------ out

    async def subscribe(self, commands: Sequence[str], *, retained: Sequence[str] = ()) -> list[int]:
        """Subscribe to ``commands`` at QoS 1 without what is retained, and to what is ``retained`` at QoS 0.

        Returns the reason code of each filter, in this order; ≥ 0x80 is a refusal. In 3.1.1 retained commands are
        delivered nevertheless. Our own publications on the retained topics come back, without the RETAIN flag: with
        No Local some brokers would keep from us what an earlier life of ours left retained.

        Raises:
            LinkLost: the link ended meanwhile.
        """
        self._check()
        if self.version == MQTTProtocolVersion.MQTTv5:
            command = SubscribeOptions(
                qos=1, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND
            )
            state = SubscribeOptions(qos=0)
            wishes = [(name, command) for name in commands] + [(name, state) for name in retained]
            _, mid = self._paho.subscribe(wishes)
        else:
            _, mid = self._paho.subscribe([(name, 1) for name in commands] + [(name, 0) for name in retained])
        if mid is None:
            raise LinkLost(self.cause or "no connection")
        answer: asyncio.Future[list[int]] = self._loop.create_future()
        self._subscribed[mid] = answer
        return await answer

    def unsubscribe(self, names: Sequence[str]) -> None:
        """Take these filters back; what the broker has taken up for them already still comes."""
        if not self.ended.is_set():
            self._paho.unsubscribe(list(names))

    async def room(self) -> None:
        """Wait until one more bulk publication may be handed over.

        Half of the window is theirs: answers never wait for a backlog.

        Raises:
            LinkLost: the link has ended.
        """
        self._check()
        while self._bulk >= max(1, self._window // 2):
            self._room.clear()
            await self._room.wait()
            self._check()

    def publish(
        self,
        topic: str,
        payload: bytes | str,
        *,
        qos: int = 1,
        retain: bool = False,
        bulk: bool = False,
        json: bool = False,
        correlation: bytes | None = None,
        like: Delivery | None = None,
        acked: Callable[[int], None] | None = None,
    ) -> None:
        """Hand a publication over; it leaves after everything handed over before it, as soon as the window allows.

        Args:
            topic: where to.
            payload: what.
            qos: 0 or 1.
            retain: whether the broker keeps it.
            bulk: counts against the share that :meth:`room` waits for.
            json: marked as such (Content Type and Payload Format Indicator of MQTT 5).
            correlation: Correlation Data (MQTT 5; left out in 3.1.1).
            like: Response Topic, Correlation Data, Message Expiry Interval and the hubs that passed it on are this
            one's (MQTT 5).
            acked: called with the PUBACK's reason code (0 in 3.1.1, ≥ 0x80 is a refusal); never, when the link ends
            before.
        """
        if self.ended.is_set():
            return
        if bulk:
            self._bulk += 1
        self._sent += 1
        self._queue.append(_Publication(topic, payload, qos, retain, bulk, json, correlation, like, acked, self._sent))
        self._pump()

    def acknowledge(self, delivery: Delivery, *, settled: Callable[[], None] | None = None) -> None:
        """Acknowledge a delivery of this link, after everything handed over before (at QoS 0 there is nothing to do).

        ``settled`` is called when the broker has surely read the acknowledgement, because it answers something that was
        sent after it; never, when the link ends before.
        """
        if delivery.qos == 0 or self.ended.is_set():
            return
        self._sent += 1
        self._queue.append(_Acknowledgement(delivery.packet_id, settled, self._sent))
        self._pump()

    def _check(self) -> None:
        if self.ended.is_set():
            raise LinkLost(self.cause or "ended")

    def _pump(self) -> None:
        while self._queue:
            match self._queue[0]:
                case _Acknowledgement(packet_id=packet_id, settled=settled, serial=serial):
                    self._paho.ack(packet_id, 1)
                    if settled is not None:
                        self._unsettled.append((serial, settled))
                case publication:
                    if publication.qos and len(self._waiting) >= self._window:
                        return
                    self._send(publication)
            self._queue.popleft()

    def _send(self, publication: _Publication) -> None:
        properties = None
        if self.version == MQTTProtocolVersion.MQTTv5 and (publication.json or publication.correlation is not None):
            properties = _JSON
            if publication.correlation is not None:
                properties = _as_json(_properties(PacketTypes.PUBLISH))
                properties.CorrelationData = publication.correlation
        if self.version == MQTTProtocolVersion.MQTTv5 and publication.like is not None:
            properties = _like(publication.like)
        sent = self._paho.publish(
            publication.topic, publication.payload, publication.qos, publication.retain, properties
        )
        if publication.qos and sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._waiting[sent.mid] = publication

    # ------------------ the loop and paho

    def _readable(self) -> None:
        self._heard = self._now()
        try:
            self._read()
        except Exception:  # outermost handler of what a broker sends: what paho cannot read ends the link, not the hub
            log.exception("a packet of the broker could not be read")
            self._loop.call_soon(self.abort, "unreadable packet")

    def _read(self) -> None:
        """Take what there is; TLS may hold decrypted octets that no selector sees."""
        while (sock := self._paho.socket()) is not None:
            self._paho.fill()
            # Debian's Mosquitto leaves Nagle on: its next packet waits for this one's ACK, which we would delay 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # type: ignore[attr-defined] # paho types less
            while self._paho.readable and self._paho.socket() is not None:
                self._paho.loop_read()
            pending = getattr(sock, "pending", None)
            if pending is None or not pending():
                return

    def _flush(self) -> None:
        self._flush_scheduled = False
        sock = self._paho.socket()
        if sock is None:
            return
        self._paho.loop_write()
        self._paho.drain()
        if self._paho.broken is not None:
            self._read()  # paho meets the error there, and cleans up
        if self._paho.socket() is not None and bool(self._paho.written) != self._writing:
            self._writing = not self._writing
            if self._writing:
                self._loop.add_writer(sock.fileno(), self._flush)
            else:
                self._loop.remove_writer(sock.fileno())

    def _paho_register_write(self, *_: Any) -> None:
        if self._attached and not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _paho_unregister_write(self, *_: Any) -> None:
        """Our own :meth:`_flush` decides; without this callback paho would complain."""

    def _paho_socket_close(self, _client: paho.Client, _userdata: object, sock: Any) -> None:
        if self._attached:
            self._attached = False
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())

    def _paho_connect(
        self,
        _client: paho.Client,
        _userdata: object,
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._end(f"the broker refuses: {reason}", unsupported_protocol=reason.value == _UNSUPPORTED_PROTOCOL)
            return
        self._window = min(self._window, getattr(properties, "ReceiveMaximum", self._window))
        self.shares = bool(getattr(properties, "SharedSubscriptionAvailable", 1))
        if not self._connected.done():
            self._connected.set_result(None)

    def _paho_disconnect(
        self,
        _client: paho.Client,
        _userdata: object,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._paho.broken is not None:
            self._end(
                in_words(self._paho.broken, self._settings, connecting=False), unanswered=not self._connected.done()
            )
            return
        side = "the broker said" if flags.is_disconnect_packet_from_server else "the connection ended"
        self._end(f"{side}: {reason}", unanswered=not self._connected.done())

    def _paho_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        if self.ended.is_set():
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        properties = message.properties
        self._on_delivery(
            self,
            Delivery(
                topic=topic,
                payload=bytes(message.payload),
                qos=message.qos,
                retain=bool(message.retain),
                dup=bool(message.dup),
                packet_id=message.mid,
                response_topic=getattr(properties, "ResponseTopic", None),
                correlation=getattr(properties, "CorrelationData", None),
                expires_in=getattr(properties, "MessageExpiryInterval", None),
                passed=tuple(value for name, value in getattr(properties, "UserProperty", ()) if name == PASSED),
            ),
        )

    def _paho_publish(
        self, _client: paho.Client, _userdata: object, mid: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        publication = self._waiting.pop(mid, None)
        if publication is None:
            return
        while self._unsettled and self._unsettled[0][0] < publication.serial:
            self._unsettled.popleft()[1]()
        if publication.bulk:
            self._bulk -= 1
            self._room.set()
        if publication.acked is not None and not self.ended.is_set():
            publication.acked(reason.value)
        self._pump()

    def _paho_subscribe(
        self, _client: paho.Client, _userdata: object, mid: int, reasons: list[ReasonCode], _props: Properties | None
    ) -> None:
        answer = self._subscribed.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result([reason.value for reason in reasons])


def _context(settings: MqttSettings) -> ssl.SSLContext:
    """What TLS is to believe and to show.

    Raises:
        LinkLost: a file of the settings cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca)
    except OSError as error:
        raise LinkLost(f"mqtt.ca: {settings.ca} holds no certificate that can be read ({_said(error)})") from error
    if settings.cert is not None:
        try:
            context.load_cert_chain(settings.cert, settings.key, password="")  # asks nobody for one
        except OSError as error:
            names = f"{settings.cert}" if settings.key is None else f"{settings.cert} and {settings.key}"
            raise LinkLost(f"mqtt.cert: {names}: no certificate with its key ({_said(error)})") from error
    return context


def _said(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)


class Broker:
    """The broker of the settings: one :class:`Link` after another."""

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client_id: str,
        will_topic: str,
        on_delivery: Callable[[Link, Delivery], None],
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.last_error: str | None = None
        """Why there is no link, or why the last one ended."""
        self._settings = settings
        self._client_id = client_id
        self._will_topic = will_topic
        self._on_delivery = on_delivery
        self._now = now
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._only_311 = settings.protocol == "3.1.1"
        self._next_311 = False

    async def run(self, serve: Callable[[Link], Awaitable[None]]) -> None:
        """Keep a link and have it served, until cancelled.

        ``serve`` returns, or raises :class:`LinkLost`, when its link has ended.
        """
        failures = 0
        while True:
            begun = self._now()
            auto_5 = self._settings.protocol == "auto" and not self._only_311
            version = MQTTProtocolVersion.MQTTv311 if self._only_311 or self._next_311 else MQTTProtocolVersion.MQTTv5
            tried_311, self._next_311 = self._next_311, False
            try:
                await self._one(version, serve)
            except LinkLost as lost:
                if auto_5 and lost.unsupported_protocol and version == MQTTProtocolVersion.MQTTv5:
                    log.info("the broker speaks no MQTT 5; going on with 3.1.1")
                    self._only_311 = True
                    continue
                self._next_311 = auto_5 and lost.unanswered and not tried_311
                if str(lost) != self.last_error:
                    log.warning("no link to the broker: %s", lost)
                self.last_error = str(lost)
            if self._now() - begun >= STEADY_AFTER:
                failures = 0
            longest = min(BACK_OFF_LONGEST, BACK_OFF_FIRST * 2**failures)
            failures = min(failures + 1, 10)
            await self._sleep(self._rng.uniform(longest / 2, longest))

    async def _one(self, version: MQTTProtocolVersion, serve: Callable[[Link], Awaitable[None]]) -> None:
        link = Link(
            self._settings,
            client_id=self._client_id,
            version=version,
            will_topic=self._will_topic,
            on_delivery=self._on_delivery,
            now=self._now,
        )
        watch = asyncio.create_task(link.watch(self._sleep))
        try:
            await link.open()
            await serve(link)
            raise LinkLost(link.cause or "given up")
        finally:
            watch.cancel()
            link.abort("given up")
            await asyncio.wait({watch})
