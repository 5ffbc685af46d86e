"""MQTT 3.1.1 and 5 octet by octet, written from the standards: a client and one side of a broker for the tests.

It shares nothing with the library that the door uses, and can do what no broker does on request: refuse a version,
redeliver, fall silent.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from typing import Any, Self

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14

_BYTE, _TWO, _FOUR, _VARINT, _TEXT, _OCTETS, _PAIR = range(7)
_PROPERTIES: dict[int, tuple[str, int]] = {
    0x01: ("payload_format", _BYTE),
    0x02: ("expiry", _FOUR),
    0x03: ("content_type", _TEXT),
    0x08: ("response_topic", _TEXT),
    0x09: ("correlation", _OCTETS),
    0x0B: ("subscription", _VARINT),
    0x11: ("session_expiry", _FOUR),
    0x12: ("assigned_client_id", _TEXT),
    0x13: ("server_keepalive", _TWO),
    0x18: ("will_delay", _FOUR),
    0x1F: ("reason", _TEXT),
    0x21: ("receive_maximum", _TWO),
    0x22: ("topic_alias_maximum", _TWO),
    0x24: ("maximum_qos", _BYTE),
    0x25: ("retain_available", _BYTE),
    0x26: ("user", _PAIR),
    0x27: ("maximum_packet_size", _FOUR),
    0x28: ("wildcards", _BYTE),
    0x29: ("subscription_ids", _BYTE),
    0x2A: ("shared", _BYTE),
}
_IDS = {name: (number, kind) for number, (name, kind) in _PROPERTIES.items()}


@dataclass(frozen=True, slots=True)
class Packet:
    """One control packet; ``body`` is what follows the fixed header."""

    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connect:
    version: int
    clean: bool
    keepalive: int
    client_id: str
    will: Publish | None
    properties: dict[str, Any]
    username: str | None
    password: bytes | None


def text(value: str) -> bytes:
    return octets(value.encode())


def octets(value: bytes) -> bytes:
    return struct.pack("!H", len(value)) + value


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        assert self.at + count <= len(self.data), "the packet is too short"
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def octets(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        return self.octets().decode()

    def varint(self) -> int:
        value = shift = 0
        while True:
            octet = self.number(1)
            value |= (octet & 127) << shift
            shift += 7
            if not octet & 128:
                return value

    def properties(self) -> dict[str, Any]:
        inner = Reader(self.take(self.varint()))
        found: dict[str, Any] = {}
        while inner.at < len(inner.data):
            name, kind = _PROPERTIES[inner.varint()]
            match kind:
                case 0 | 1 | 2:
                    found[name] = inner.number((1, 2, 4)[kind])
                case 3:
                    found[name] = inner.varint()
                case 4:
                    found[name] = inner.text()
                case 5:
                    found[name] = inner.octets()
                case _:
                    found[name] = (inner.text(), inner.text())
        return found


def properties(given: dict[str, Any]) -> bytes:
    out = bytearray()
    for name, value in given.items():
        number, kind = _IDS[name]
        out += varint(number)
        match kind:
            case 0 | 1 | 2:
                out += int(value).to_bytes((1, 2, 4)[kind], "big")
            case 3:
                out += varint(value)
            case 4:
                out += text(value)
            case 5:
                out += octets(value)
            case _:
                out += text(value[0]) + text(value[1])
    return varint(len(out)) + bytes(out)


class Wire:
    """One side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, version: int = 5) -> None:
        self.reader = reader
        self.writer = writer
        self.version = version
        self._peeked: Packet | None = None

    async def peek(self) -> Packet | None:
        """The next packet, which stays the next."""
        self._peeked = await self.read()
        return self._peeked

    async def read(self) -> Packet | None:
        """The next packet; None when the other side has closed."""
        if self._peeked is not None:
            peeked, self._peeked = self._peeked, None
            return peeked
        try:
            first = (await self.reader.readexactly(1))[0]
            length = shift = 0
            while True:
                octet = (await self.reader.readexactly(1))[0]
                length |= (octet & 127) << shift
                shift += 7
                if not octet & 128:
                    break
            return Packet(first >> 4, first & 15, await self.reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def expect(self, kind: int) -> Packet:
        packet = await self.read()
        assert packet is not None, f"closed instead of packet {kind}"
        assert packet.kind == kind, f"packet {packet.kind} instead of {kind}: {packet.body!r}"
        return packet

    def send(self, kind: int, flags: int, body: bytes) -> None:
        self.writer.write(bytes([kind << 4 | flags]) + varint(len(body)) + body)

    def send_publish(self, publish: Publish) -> None:
        body = text(publish.topic)
        if publish.qos:
            body += struct.pack("!H", publish.packet_id)
        if self.version == 5:
            body += properties(publish.properties)
        flags = publish.dup << 3 | publish.qos << 1 | publish.retain
        self.send(PUBLISH, flags, body + publish.payload)

    def read_publish(self, packet: Packet) -> Publish:
        reader = Reader(packet.body)
        qos = packet.flags >> 1 & 3
        return Publish(
            topic=reader.text(),
            packet_id=reader.number(2) if qos else 0,
            properties=reader.properties() if self.version == 5 else {},
            payload=reader.rest(),
            qos=qos,
            retain=bool(packet.flags & 1),
            dup=bool(packet.flags & 8),
        )

    def send_puback(self, packet_id: int, reason: int = 0) -> None:
        self.send(PUBACK, 0, struct.pack("!H", packet_id) + (bytes([reason]) if reason else b""))

    def close(self) -> None:
        self.writer.close()

    def cut(self) -> None:
        """Reset the connection: what is under way is lost."""
        self.writer.transport.abort()


class Peer(Wire):
    """The broker's side of one connection, moved by the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.acknowledged: list[int] = []
        """Packet identifiers acknowledged by the door and not asked for yet."""

    def read_connect(self, packet: Packet) -> Connect:
        reader = Reader(packet.body)
        assert reader.text() == "MQTT"
        self.version = reader.number(1)
        flags = reader.number(1)
        keepalive = reader.number(2)
        wishes = reader.properties() if self.version == 5 else {}
        client_id = reader.text()
        will = None
        if flags & 4:
            will_properties = reader.properties() if self.version == 5 else {}
            will = Publish(
                topic=reader.text(),
                payload=reader.octets(),
                qos=flags >> 3 & 3,
                retain=bool(flags & 0x20),
                properties=will_properties,
            )
        username = reader.text() if flags & 0x80 else None
        password = reader.octets() if flags & 0x40 else None
        return Connect(self.version, bool(flags & 2), keepalive, client_id, will, wishes, username, password)

    def send_connack(self, reason: int = 0, *, session: bool = False, **granted: Any) -> None:
        body = bytes([session, reason])
        self.send(CONNACK, 0, body + (properties(granted) if self.version == 5 else b""))

    async def subscription(self, *, reason: int = 1) -> dict[str, int]:
        """Read SUBSCRIBE and grant it; returns filter → options."""
        reader = Reader((await self.expect(SUBSCRIBE)).body)
        packet_id = reader.take(2)
        if self.version == 5:
            reader.properties()
        found = {}
        while reader.at < len(reader.data):
            name = reader.text()
            found[name] = reader.number(1)
        nothing = b"\0" if self.version == 5 else b""
        self.send(SUBACK, 0, packet_id + nothing + bytes([reason] * len(found)))
        return found

    async def unsubscription(self) -> list[str]:
        """Read UNSUBSCRIBE and grant it; returns its filters."""
        return self._grant_leave(await self.expect(UNSUBSCRIBE))

    def _grant_leave(self, packet: Packet) -> list[str]:
        reader = Reader(packet.body)
        packet_id = reader.take(2)
        if self.version == 5:
            reader.properties()
        left = []
        while reader.at < len(reader.data):
            left.append(reader.text())
        self.send(UNSUBACK, 0, packet_id + (b"\0" * (1 + len(left)) if self.version == 5 else b""))
        return left

    async def welcome(self, **granted: Any) -> Connect:
        """CONNECT and SUBSCRIBE, both granted."""
        connect = self.read_connect(await self.expect(CONNECT))
        self.send_connack(**granted)
        await self.subscription()
        return connect

    async def published(self, *topics: str, acknowledge: bool = True) -> Publish:
        """The next publication of one of these topics (or of any); the others are acknowledged and passed over.

        PUBACKs that are read on the way are kept in :attr:`acknowledged`.
        """
        while True:
            packet = await self.read()
            assert packet is not None, f"closed instead of {topics}"
            if packet.kind == PUBACK:
                self.acknowledged.append(int.from_bytes(packet.body[:2], "big"))
            elif packet.kind == PINGREQ:
                self.send(PINGRESP, 0, b"")
            elif packet.kind == UNSUBSCRIBE:
                self._grant_leave(packet)
            else:
                assert packet.kind == PUBLISH, packet
                publish = self.read_publish(packet)
                wanted = not topics or any(publish.topic == t or publish.topic.startswith(f"{t}/") for t in topics)
                if publish.qos and (acknowledge or not wanted):
                    self.send_puback(publish.packet_id)
                if wanted:
                    return publish

    async def puback(self) -> int:
        """The packet identifier of the next PUBACK; publications on the way are acknowledged and passed over."""
        while not self.acknowledged:
            packet = await self.read()
            assert packet is not None, "closed instead of PUBACK"
            if packet.kind == PUBACK:
                self.acknowledged.append(int.from_bytes(packet.body[:2], "big"))
            elif packet.kind == PUBLISH:
                self.send_puback(self.read_publish(packet).packet_id)
        return self.acknowledged.pop(0)


class RawBroker:
    """Listens on a free port; each connection is handed to the test."""

    def __init__(self) -> None:
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self._all: list[Peer] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.vanish()
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self._all.append(peer)
        self._peers.put_nowait(peer)

    def vanish(self) -> None:
        """Reset all connections."""
        for peer in self._all:
            peer.cut()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"mqtt://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def peer(self) -> Peer:
        """The next connection."""
        return await self._peers.get()


class User(Wire):
    """A client of a broker, as a device in the house is one. Acknowledges what it gets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, version: int) -> None:
        super().__init__(reader, writer, version=version)
        self.seen: list[Publish] = []
        self._news = asyncio.Event()
        self._packet_id = 0
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, port: int, *filters: str, version: int = 5, name: str = "user") -> Self:
        user = cls(*await asyncio.open_connection("127.0.0.1", port), version=version)
        head = text("MQTT") + bytes([version, 2]) + struct.pack("!H", 600)
        user.send(CONNECT, 0, head + (properties({}) if version == 5 else b"") + text(name))
        packet = await user.expect(CONNACK)
        assert packet.body[1] == 0, packet
        user._reading = asyncio.create_task(user._read())
        if filters:
            nothing = properties({}) if version == 5 else b""
            await user._ask(SUBSCRIBE, 2, nothing + b"".join(text(one) + b"\1" for one in filters))
        return user

    async def _ask(self, kind: int, flags: int, body: bytes) -> bytes:
        self._packet_id = self._packet_id % 65535 + 1
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[self._packet_id] = answer
        self.send(kind, flags, struct.pack("!H", self._packet_id) + body)
        return await answer

    async def publish(self, topic: str, payload: bytes | str, *, retain: bool = False, **props: Any) -> None:
        """At QoS 1; returns at the broker's PUBACK."""
        data = payload.encode() if isinstance(payload, str) else payload
        self._packet_id = self._packet_id % 65535 + 1
        answer = self._answers[self._packet_id] = asyncio.get_running_loop().create_future()
        self.send_publish(
            Publish(topic, data, qos=1, retain=retain, packet_id=self._packet_id, properties=props),
        )
        await answer

    async def _read(self) -> None:
        while (packet := await self.read()) is not None:
            if packet.kind == PUBLISH:
                publish = self.read_publish(packet)
                if publish.qos:
                    self.send_puback(publish.packet_id)
                self.seen.append(publish)
                self._news.set()
            elif packet.kind in {PUBACK, SUBACK}:
                self._answers.pop(int.from_bytes(packet.body[:2], "big")).set_result(packet.body[2:])

    async def wait(self, topic: str, *, count: int = 1) -> list[Publish]:
        """The first ``count`` publications seen on this topic or below it."""
        while True:
            found = [p for p in self.seen if p.topic == topic or p.topic.startswith(f"{topic}/")]
            if len(found) >= count:
                return found[:count]
            self._news.clear()
            await self._news.wait()

    async def bye(self) -> None:
        if self._reading is not None:
            self.send(DISCONNECT, 0, b"")
            self.close()
            await self._reading
