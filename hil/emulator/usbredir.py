"""The modem's end of a usbredir connection: a USB device plugged into a virtual machine through a socket.

Promise: to QEMU's ``usb-redir`` device (the *usb-guest*) it is a *usb-host* of the USB Network Redirection protocol
0.7 with one ``UsbDevice`` on it. A connection is the plug, its end the unplugging; a device that is plugged in again is
a new connection, as QEMU's ``device_del`` would take the socket away with it. Streams, isochronous and buffered bulk
transfers, filters and alternate settings are not there.

Theory of operation. Both sides say hello with their capabilities at once; only what both have is used. Ids have 32 bits
in the hello and, when both have ``64bits_ids``, 64 bits in all that follows. QEMU takes a device on its xHCI only when
four capabilities are there (``CAPABILITIES``). The device introduces itself after the hello, endpoints first. Control
and bulk packets are answered under their id when the device ends them: an IN packet may wait for ever. A packet that is
cancelled is answered with ``cancelled``, one that was answered already is not answered again. For an interrupt IN
endpoint the guest asks once to be told; the device has nothing to tell there.

``Wire`` is the protocol without I/O, ``Guest`` in the tests its other side; ``Plug`` is an ``asyncio.Protocol``. When
the socket is full nothing more is read from it until it drains, so that a guest that does not read stops being served.
"""

from __future__ import annotations

import asyncio
import enum
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from hil.emulator.usbdevice import IN, RELEASE, Kind, Setup, Speed, Stall, Status, Transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hil.emulator.usbdevice import UsbDevice

__all__ = ["CAPABILITIES", "Cap", "Packet", "Plug", "Result", "Type", "Wire", "bulk_header", "parse_bulk"]


class Type(enum.IntEnum):
    """Packets of the protocol, by its header file's numbers; those that are used here."""

    HELLO = 0
    DEVICE_CONNECT = 1
    DEVICE_DISCONNECT = 2
    RESET = 3
    INTERFACE_INFO = 4
    EP_INFO = 5
    SET_CONFIGURATION = 6
    GET_CONFIGURATION = 7
    CONFIGURATION_STATUS = 8
    SET_ALT_SETTING = 9
    GET_ALT_SETTING = 10
    ALT_SETTING_STATUS = 11
    START_INTERRUPT_RECEIVING = 15
    STOP_INTERRUPT_RECEIVING = 16
    INTERRUPT_RECEIVING_STATUS = 17
    CANCEL_DATA_PACKET = 21
    FILTER_REJECT = 22
    FILTER_FILTER = 23
    DEVICE_DISCONNECT_ACK = 24
    CONTROL_PACKET = 100
    BULK_PACKET = 101


class Cap(enum.IntEnum):
    """Bits of the capabilities."""

    CONNECT_DEVICE_VERSION = 1
    EP_INFO_MAX_PACKET_SIZE = 4
    IDS_64BITS = 5
    BULK_LENGTH_32BITS = 6


CAPABILITIES: Final = frozenset(Cap)
"""Without the last three QEMU's xHCI refuses the device: "lacks capabilities needed for use with XHCI"."""


class Result(enum.IntEnum):
    """Status in a packet."""

    SUCCESS = 0
    CANCELLED = 1
    INVAL = 2
    IOERROR = 3
    STALL = 4


_RESULT: Final = {Status.DONE: Result.SUCCESS, Status.STALLED: Result.STALL, Status.GONE: Result.CANCELLED}
_SPEED: Final = {Speed.FULL: 1, Speed.HIGH: 2}
_VERSION: Final = b"modemhub emulated modem"
_VERSION_SIZE: Final = 64
_SLOTS: Final = 32
"""Endpoints of ``ep_info``: OUT 0 to 15, then IN 0 to 15."""
_NO_ENDPOINT: Final = 255
_MAX_PACKET: Final = 128 * 1024 * 1024
"""The protocol's bound of a packet; more is not a packet."""


class Packet(NamedTuple):
    """One packet: its type's number, its id, header and data together."""

    type: int
    id: int
    payload: bytes


class Violation(Exception):
    """The other side does not speak the protocol."""


class Wire:
    """Packets in octets, with what both sides can do."""

    def __init__(self, capabilities: frozenset[Cap] = CAPABILITIES) -> None:
        self._own = capabilities
        self._both: frozenset[Cap] | None = None
        self._buffer = bytearray()

    def has(self, cap: Cap) -> bool:
        """Whether both sides have it; False before the other's hello."""
        return self._both is not None and cap in self._both

    def hello(self) -> bytes:
        """What is said first."""
        word = sum(1 << cap for cap in self._own)
        payload = _VERSION.ljust(_VERSION_SIZE, b"\0") + struct.pack("<I", word)
        return struct.pack("<III", Type.HELLO, len(payload), 0) + payload

    def pack(self, kind: Type, id: int, payload: bytes) -> bytes:  # noqa: A002 - the protocol's word
        head = "<IIQ" if self.has(Cap.IDS_64BITS) else "<III"
        return struct.pack(head, kind, len(payload), id) + payload

    def feed(self, octets: bytes) -> Iterator[Packet]:
        """The packets that are complete now. The hello changes how the next ones are read.

        Raises:
            Violation: no hello first, or a length that cannot be.
        """
        self._buffer += octets
        while True:
            head = struct.Struct("<IIQ" if self.has(Cap.IDS_64BITS) else "<III")
            if len(self._buffer) < head.size:
                return
            kind, length, number = head.unpack_from(self._buffer)
            if length > _MAX_PACKET:
                raise Violation(f"a packet of {length} octets")
            if len(self._buffer) < head.size + length:
                return
            payload = bytes(self._buffer[head.size : head.size + length])
            del self._buffer[: head.size + length]
            if self._both is None:
                if kind != Type.HELLO or length < _VERSION_SIZE:
                    raise Violation("no hello first")
                words = payload[_VERSION_SIZE : _VERSION_SIZE + 4].ljust(4, b"\0")
                theirs = struct.unpack("<I", words)[0]
                self._both = frozenset(cap for cap in self._own if theirs >> cap & 1)
            yield Packet(kind, number, payload)


@dataclass(frozen=True, slots=True)
class Bulk:
    """Header of a bulk packet."""

    endpoint: int
    status: int
    length: int
    stream: int


def bulk_header(bulk: Bulk, *, wide: bool) -> bytes:
    narrow = struct.pack("<BBHI", bulk.endpoint, bulk.status, bulk.length & 0xFFFF, bulk.stream)
    return narrow + struct.pack("<H", bulk.length >> 16) if wide else narrow


def parse_bulk(payload: bytes, *, wide: bool) -> tuple[Bulk, bytes]:
    """Header and data."""
    if wide:
        endpoint, status, low, stream, high = struct.unpack_from("<BBHIH", payload)
        return Bulk(endpoint, status, low | high << 16, stream), payload[10:]
    endpoint, status, low, stream = struct.unpack_from("<BBHI", payload)
    return Bulk(endpoint, status, low, stream), payload[8:]


class Plug(asyncio.Protocol):
    """A connection with the device on it; ``ended`` is called when it is over, whoever ended it."""

    def __init__(self, device: UsbDevice, *, ended: Callable[[], None] | None = None) -> None:
        self.device = device
        self._ended = ended
        self._wire = Wire()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, Transfer] = {}

    @classmethod
    async def into(cls, path: Path, device: UsbDevice, *, ended: Callable[[], None] | None = None) -> Plug:
        """Plug the device into the socket of a ``usb-redir`` device."""
        loop = asyncio.get_running_loop()
        _, plug = await loop.create_unix_connection(lambda: cls(device, ended=ended), str(path))
        return plug

    def pull(self) -> None:
        """Unplug."""
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------------------------------------------- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._wire.hello())

    def data_received(self, data: bytes) -> None:
        try:
            for packet in self._wire.feed(data):
                self._take(packet)
        except (Violation, struct.error):
            self.pull()

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        self._waiting.clear()
        self.device.reset()
        if self._ended is not None:
            self._ended()

    def _send(self, kind: Type, id: int, payload: bytes = b"") -> None:  # noqa: A002 - the protocol's word
        if self._transport is not None:
            self._transport.write(self._wire.pack(kind, id, payload))

    # ----------------------------------------------------------------------------------------------------- what it says

    def _introduce(self) -> None:
        self._tell_endpoints()
        device = self.device
        connect = struct.pack("<4B2H", _SPEED[device.speed], *device.triple, *device.ids)
        if self._wire.has(Cap.CONNECT_DEVICE_VERSION):
            connect += struct.pack("<H", RELEASE)
        self._send(Type.DEVICE_CONNECT, 0, connect)

    def _tell_endpoints(self) -> None:
        device = self.device
        types, intervals, interfaces = bytearray([_NO_ENDPOINT] * _SLOTS), bytearray(_SLOTS), bytearray(_SLOTS)
        sizes = [0] * _SLOTS
        for slot in (0, _SLOTS // 2):
            types[slot], sizes[slot] = Kind.CONTROL, 64
        for address, endpoint in device.endpoints.items():
            slot = (address & 0x0F) | (address & IN) >> 3
            types[slot], intervals[slot], interfaces[slot] = endpoint.kind, endpoint.interval, endpoint.interface
            sizes[slot] = endpoint.size
        info = bytes(types + intervals + interfaces)
        if self._wire.has(Cap.EP_INFO_MAX_PACKET_SIZE):
            info += struct.pack(f"<{_SLOTS}H", *sizes)
        self._send(Type.EP_INFO, 0, info)
        listed = device.usb.interfaces
        columns = ([i.number for i in listed], *([i.kind[column] for i in listed] for column in range(3)))
        rows = b"".join(bytes(column).ljust(_SLOTS, b"\0") for column in columns)
        self._send(Type.INTERFACE_INFO, 0, struct.pack("<I", len(listed)) + rows)

    # ---------------------------------------------------------------------------------------------- what it is told

    def _take(self, packet: Packet) -> None:
        device, number, payload = self.device, packet.id, packet.payload
        match packet.type:
            case Type.HELLO:
                self._introduce()
            case Type.RESET:
                device.reset()
            case Type.SET_CONFIGURATION:
                result = Result.SUCCESS
                try:
                    device.configure(payload[0])
                except Stall:
                    result = Result.STALL
                self._tell_endpoints()
                self._send(Type.CONFIGURATION_STATUS, number, bytes((result, device.configuration)))
            case Type.GET_CONFIGURATION:
                self._send(Type.CONFIGURATION_STATUS, number, bytes((Result.SUCCESS, device.configuration)))
            case Type.SET_ALT_SETTING:
                result = Result.SUCCESS
                try:
                    device.set_interface(payload[0], payload[1])
                except Stall:
                    result = Result.STALL
                self._send(Type.ALT_SETTING_STATUS, number, bytes((result, payload[0], 0)))
            case Type.GET_ALT_SETTING:
                self._send(Type.ALT_SETTING_STATUS, number, bytes((Result.SUCCESS, payload[0], 0)))
            case Type.START_INTERRUPT_RECEIVING | Type.STOP_INTERRUPT_RECEIVING:
                self._send(Type.INTERRUPT_RECEIVING_STATUS, number, bytes((Result.SUCCESS, payload[0])))
            case Type.CONTROL_PACKET:
                self._control(number, payload)
            case Type.BULK_PACKET:
                self._bulk(number, payload)
            case Type.CANCEL_DATA_PACKET:
                self._cancel(number)
            case Type.FILTER_REJECT:
                self.pull()
            case _:
                # filters and acknowledgements of a capability that was not offered: nothing to answer
                pass

    def _control(self, number: int, payload: bytes) -> None:
        endpoint, request, request_type, _, value, index, length = struct.unpack_from("<4B3H", payload)
        setup = Setup(request_type, request, value, index, length)
        answer, result = b"", Result.SUCCESS
        try:
            answer = self.device.control(setup, payload[10:])
        except Stall:
            result, length = Result.STALL, 0
        if setup.is_in:
            length = len(answer)
        head = struct.pack("<4B3H", endpoint, request, request_type, result, value, index, length)
        self._send(Type.CONTROL_PACKET, number, head + answer)

    def _bulk(self, number: int, payload: bytes) -> None:
        wide = self._wire.has(Cap.BULK_LENGTH_32BITS)
        bulk, data = parse_bulk(payload, wide=wide)
        outward = not bulk.endpoint & IN

        def done(status: Status, answer: bytes) -> None:
            self._waiting.pop(number, None)
            moved = bulk.length if outward and status is Status.DONE else len(answer)
            head = bulk_header(Bulk(bulk.endpoint, _RESULT[status], moved, bulk.stream), wide=wide)
            self._send(Type.BULK_PACKET, number, head + answer)

        transfer = Transfer(bulk.endpoint, bulk.length, done, data)
        self._waiting[number] = transfer
        self.device.submit(transfer)

    def _cancel(self, number: int) -> None:
        transfer = self._waiting.pop(number, None)
        if transfer is not None and self.device.cancel(transfer):
            transfer.done(Status.GONE, b"")
