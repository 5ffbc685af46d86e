"""An MQTT client as programs of the house use one: what the broker answered to each packet, and what it delivered.

Unlike the observer it subscribes to nothing by itself, has no session that lasts, and does not come back after the
broker has put it out.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING, Any, Literal, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from hil.rig.observer import Heard
from hil.rig.waiting import PATIENCE, Overdue, Record

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

__all__ = ["REFUSED", "Client", "Refused"]

REFUSED = 0x80
"""Reason codes from here on are refusals; Mosquitto's words for "no right" are 0x87 (MQTT 5) and 0x80 (3.1.1)."""

PROTOCOLS = {"5": paho.MQTTv5, "3.1.1": paho.MQTTv311}


class Refused(Exception):
    """The broker did not take the connection."""


class Client:
    """One connection to a broker of 127.0.0.1; topics are whole ones.

    Args:
        port: of the broker.
        name: the client id.
        protocol: spoken to the broker, which is offered no other.
        login: user name and password; None: anonymous.
        ca: by which a broker with TLS is verified, for the name ``localhost``, or how in full; None: no TLS.
        certificate: the client's own, and its key.
    """

    def __init__(
        self,
        port: int,
        name: str,
        *,
        protocol: Literal["5", "3.1.1"] = "5",
        login: tuple[str, str] | None = None,
        ca: Path | ssl.SSLContext | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.name = name
        self.heard: Record[Heard] = Record(f"MQTT {name}")
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._five = protocol == "5"
        self._connected: asyncio.Future[int] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[list[int]]] = {}
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=name,
            clean_session=None if self._five else True,
            protocol=PROTOCOLS[protocol],
            reconnect_on_failure=False,
        )
        self._client.max_queued_messages_set(0)
        if login:
            self._client.username_pw_set(*login)
        if ca:
            context = ca if isinstance(ca, ssl.SSLContext) else ssl.create_default_context(cafile=str(ca))
            if certificate:
                context.load_cert_chain(*certificate)
            self._client.tls_set_context(context)
        self._client.on_connect = lambda _c, _d, _f, reason, _p: self._hand(self._connect_answered, reason.value)
        self._client.on_disconnect = lambda _c, _d, _f, reason, _p: self._hand(self._gone, str(reason))
        self._client.on_subscribe = lambda _c, _d, mid, reasons, _p: self._hand(
            self._answered, mid, [reason.value for reason in reasons]
        )
        self._client.on_publish = lambda _c, _d, mid, reason, _p: self._hand(self._answered, mid, [reason.value])
        self._client.on_message = self._on_message

    # paho calls in its own thread; everything is handed over to the loop.

    def _hand(self, call: Any, *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        heard = Heard(
            self._loop.time(),
            message.topic,
            bytes(message.payload),
            message.retain,
            message.dup,
            getattr(message.properties, "CorrelationData", None),
        )
        self._hand(self.heard.add, heard)

    def _connect_answered(self, reason: int) -> None:
        if not self._connected.done():
            self._connected.set_result(reason)

    def _answered(self, mid: int, reasons: list[int]) -> None:
        future = self._answers.pop(mid, None)
        if future and not future.done():
            future.set_result(reasons)

    def _gone(self, reason: str) -> None:
        waiting: list[asyncio.Future[Any]] = [self._connected, *self._answers.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(Refused(f"{self.name}: the connection ended: {reason}"))
                future.exception()  # nobody may be waiting for it

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            Refused: the broker says no, or its certificate is not the one.
        """
        try:
            host = "localhost" if self._client._ssl_context else "127.0.0.1"  # noqa: SLF001 - else told twice
            await asyncio.to_thread(self._client.connect, host, self._port, keepalive=30)
        except OSError as error:
            raise Refused(f"{self.name}: {error}") from error
        self._client.loop_start()
        reason = await self._within(self._connected, "CONNACK")
        if reason:
            await self.close()
            raise Refused(f"{self.name}: reason 0x{reason:02x}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Say DISCONNECT."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def _within(self, future: asyncio.Future[Any], what: str) -> Any:
        try:
            async with asyncio.timeout(PATIENCE):
                return await future
        except TimeoutError:
            raise Overdue(f"{self.name}: no {what} within {PATIENCE:g} s") from None

    def _answer(self, mid: int | None) -> asyncio.Future[list[int]]:
        assert mid is not None
        future: asyncio.Future[list[int]] = self._loop.create_future()
        self._answers[mid] = future
        return future

    async def subscribe(self, *filters: str, qos: int = 1) -> list[int]:
        """The broker's reason code for each filter."""
        _, mid = self._client.subscribe([(each, qos) for each in filters])
        reasons: list[int] = await self._within(self._answer(mid), "SUBACK")
        return reasons

    async def publish(
        self,
        topic: str,
        payload: str | bytes | dict[str, Any],
        *,
        qos: int = 1,
        retain: bool = False,
        expiry: int | None = None,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> int:
        """The broker's reason code (0 in 3.1.1, which has none); at QoS 0 as soon as it is written."""
        properties = Properties(PacketTypes.PUBLISH) if self._five else None
        for key, value in (
            ("MessageExpiryInterval", expiry),
            ("ResponseTopic", response_topic),
            ("CorrelationData", correlation),
        ):
            if value is not None:
                assert properties is not None, f"MQTT 3.1.1 has no {key}"
                setattr(properties, key, value)
        body = json.dumps(payload, ensure_ascii=False) if isinstance(payload, dict) else payload
        info = self._client.publish(topic, body, qos=qos, retain=retain, properties=properties)
        (reason,) = await self._within(self._answer(info.mid), f"PUBACK on {topic}")
        return int(reason)

    async def until_heard(self, topic: str, *, within: float = PATIENCE) -> Heard:
        """The first thing heard on this topic."""
        return await self.heard.until(
            lambda heard: next((each for each in heard if each.topic == topic), None), topic, within=within
        )
