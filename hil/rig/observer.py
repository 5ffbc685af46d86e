"""An MQTT client beside the hub's: it records all that the hub says, in order, and publishes commands.

Its session is persistent and its client id fixed, so that a broker that is stopped in good order keeps for it what the
hub said meanwhile; only a killed broker can lose that, and a test that kills one judges by the inbox instead.
"""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from hil.rig.waiting import PATIENCE, Overdue, Record

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

__all__ = ["Heard", "Observer"]

DAY = 86400


@dataclass(frozen=True, slots=True)
class Heard:
    """One PUBLISH as it came from the broker."""

    time: float
    """The event loop's clock when it was read."""
    topic: str
    payload: bytes
    retain: bool
    dup: bool
    correlation: bytes | None = None
    """MQTT 5's Correlation Data."""

    @property
    def json(self) -> Any:
        """The payload as JSON."""
        return json.loads(self.payload)

    def __str__(self) -> str:
        flags = ("r" if self.retain else "-") + ("d" if self.dup else "-")
        return f"{flags} {self.topic} {self.payload.decode(errors='backslashreplace')}"


class Observer:
    """Hears everything at the broker; ``heard`` keeps it in order. Topics are named below the hub's base topic."""

    def __init__(
        self,
        port: int,
        *,
        name: str = "observer",
        base: str = "modemhub",
        protocol: Literal["5", "3.1.1"] = "5",
        login: tuple[str, str] | None = None,
        everything: str = "#",
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """Args:
        login: a user name and a password.
        everything: as much as that one may read.
        trust: what a broker with TLS is verified by.
        """
        self.base = base
        self._everything = everything
        self.heard: Record[Heard] = Record(f"MQTT {name}")
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._subscribed = asyncio.Event()
        self._acknowledged: dict[int, asyncio.Future[None]] = {}
        five = protocol == "5"
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"hil-{name}",
            clean_session=None if five else False,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
        )
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.max_queued_messages_set(0)
        if login:
            self._client.username_pw_set(*login)
        if trust:
            self._client.tls_set_context(trust)
        self._client.on_socket_open = self._on_socket_open
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._five = five

    # paho calls these in its own thread; they only hand over to the loop.

    def _on_socket_open(self, _client: object, _data: object, connection: Any) -> None:
        # Else a command waits for the broker's delayed ACK of the PUBACK before it: 40 ms that are not the hub's.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe([(self._everything, 1)])

    def _on_subscribe(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._subscribed.set)

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", None)
        payload = bytes(message.payload)
        heard = Heard(self._loop.time(), message.topic, payload, message.retain, message.dup, correlation)
        self._loop.call_soon_threadsafe(self.heard.add, heard)

    def _on_publish(self, _client: object, _data: object, mid: int, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._acknowledge, mid)

    def _acknowledge(self, mid: int) -> None:
        future = self._acknowledged.pop(mid, None)
        if future and not future.done():
            future.set_result(None)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._connect)
        self._client.loop_start()
        await self.subscribed()
        return self

    def _connect(self) -> None:
        if not self._five:
            self._client.connect("127.0.0.1", self._port, keepalive=5)
            return
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = DAY
        self._client.connect("127.0.0.1", self._port, keepalive=5, clean_start=False, properties=properties)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def subscribed(self, *, within: float = PATIENCE) -> None:
        """Wait until the subscription stands; after :meth:`forget_connection`, until it stands again."""
        try:
            async with asyncio.timeout(within):
                await self._subscribed.wait()
        except TimeoutError:
            raise Overdue(f"no subscription at the broker within {within:g} s") from None

    def forget_connection(self) -> None:
        """Take the connection for lost, so that :meth:`subscribed` waits for the next one."""
        self._subscribed.clear()

    def publish(
        self,
        topic: str,
        payload: str | bytes | dict[str, Any],
        *,
        retain: bool = False,
        expiry: int | None = None,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> asyncio.Future[None]:
        """Publish below the base topic at QoS 1; the future ends with the broker's PUBACK."""
        properties = Properties(PacketTypes.PUBLISH) if self._five else None
        if properties:
            for key, value in (
                ("MessageExpiryInterval", expiry),
                ("ResponseTopic", response_topic),
                ("CorrelationData", correlation),
            ):
                if value is not None:
                    setattr(properties, key, value)
        body = json.dumps(payload, ensure_ascii=False) if isinstance(payload, dict) else payload
        info = self._client.publish(f"{self.base}/{topic}", body, qos=1, retain=retain, properties=properties)
        future: asyncio.Future[None] = self._loop.create_future()
        self._acknowledged[info.mid] = future
        return future

    # What the hub said, by meaning.

    def on(self, topic: str, *, start: int = 0) -> list[Heard]:
        """All that was heard on exactly this topic below the base, from the ``start``-th thing heard on."""
        return [heard for heard in self.heard.items[start:] if heard.topic == f"{self.base}/{topic}"]

    def below(self, topic: str, *, start: int = 0) -> list[Heard]:
        """All that was heard on topics that begin so."""
        return [heard for heard in self.heard.items[start:] if heard.topic.startswith(f"{self.base}/{topic}")]

    def states(self, message_id: str) -> list[str]:
        """The states of a message in the order told; a state told again (at least once) counts once."""
        told = [heard.json["state"] for heard in self.on(f"message/{message_id}")]
        return [state for n, state in enumerate(told) if n == 0 or told[n - 1] != state]

    def ended(self) -> dict[str, str]:
        """The newest state of every message that was told of."""
        prefix = f"{self.base}/message/"
        return {
            heard.topic.removeprefix(prefix): heard.json["state"]
            for heard in self.heard.items
            if heard.topic.startswith(prefix)
        }

    def received(self, *, start: int = 0) -> list[dict[str, Any]]:
        """Every received message in the order told."""
        return [heard.json for heard in self.on("received", start=start)]

    async def until_heard(
        self, topic: str, payload: bytes | None = None, *, start: int = 0, within: float = PATIENCE
    ) -> Heard:
        """The first thing heard on this topic (with this payload, if given)."""

        def answer(_: list[Heard]) -> Heard | None:
            found = self.on(topic, start=start)
            return next((heard for heard in found if payload is None or heard.payload == payload), None)

        return await self.heard.until(answer, f"{topic} {payload or b''!r}", within=within)

    async def until_state(self, message_id: str, *states: str, within: float = PATIENCE) -> list[str]:
        """All states of a message once its newest is one of ``states``."""

        def answer(_: list[Heard]) -> list[str] | None:
            told = self.states(message_id)
            return told if told and told[-1] in states else None

        return await self.heard.until(answer, f"state {'/'.join(states)} of {message_id}", within=within)
