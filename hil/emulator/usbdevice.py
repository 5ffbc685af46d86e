"""A modem as a USB device: its descriptors, its control requests, its endpoints; what every transport of USB shares.

Promise: a host that follows USB 2.0 chapter 9 and, for ACM, CDC 1.2 and PSTN 1.2, finds what ``shape.Usb`` says and can
move octets both ways on every interface that has bulk endpoints. What Linux' ``option``, ``qmi_wwan`` and ``cdc_acm``
ask of a modem is there; AT commands, mode switching by mass storage, isochronous transfers and packet data are not.

An interface is known by its number; an ACM function, two interfaces, by that of its control interface, where its role
stands. Endpoints follow from the class: a control interface of CDC or RNDIS has a notification endpoint alone, a
vendor's interface has one beside its bulk pair, but none where its role is ``diag``: by their number, two and three,
``option`` tells the EC25's diagnostic port from its network.

The bus side is three things: ``control`` answers a request on endpoint 0 at once (or raises
``Stall``), ``submit`` takes a transfer on another endpoint and ends it when it can, ``cancel`` takes one back. An IN
transfer waits until the modem has something to say: that is the back-pressure towards the modem, whose octets
meanwhile lie in a backlog of bounded size, the oldest being lost first, as in a modem's own buffer. An OUT transfer is
taken at once, or waits while the modem ``holds`` the interface: that is the back-pressure towards the host, a NAK on
the wire. The modem side is ``received``, ``opened`` and ``configured`` (called) and ``write``, ``discard``, ``hold``.

``opened`` follows DTR, SET_CONTROL_LINE_STATE (PSTN 1.2 §6.3.12), which Linux' drivers send at open and close.
``configured`` tells each SET_CONFIGURATION and, with 0, each bus reset: writing 0 and 1 to ``authorized`` in sysfs
arrives here as the configurations 0 and 1.
"""

from __future__ import annotations

import enum
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hil.emulator.shape import ACM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.emulator.shape import Interface, Usb

__all__ = ["Endpoint", "Kind", "Setup", "Speed", "Stall", "Status", "Transfer", "UsbDevice"]

BACKLOG: Final = 256 * 1024
"""Octets that an interface keeps for a host that does not read: the same as the pty's line."""

IN: Final = 0x80
"""Bit 7 of an endpoint address and of bmRequestType: towards the host."""
EP0_SIZE: Final = 64
"""bMaxPacketSize0: the only legal one at high speed (§5.5.3), legal at full speed."""
NOTIFICATION_SIZE: Final = 16
"""wMaxPacketSize of a notification endpoint: SERIAL_STATE has 10 octets (PSTN 1.2 §6.5.4)."""
RELEASE: Final = 0x0318
"""bcdDevice: the EC25's."""
LANGUAGE: Final = 0x0409
"""English (United States), the only language of the strings."""

_DEVICE, _CONFIGURATION, _STRING, _INTERFACE, _ENDPOINT, _QUALIFIER, _OTHER_SPEED = 1, 2, 3, 4, 5, 6, 7
_ASSOCIATION: Final = 11
_CS_INTERFACE: Final = 0x24
"""Descriptor types, USB 2.0 table 9-5; interface association by its ECN; class-specific by CDC 1.2 §5.2.3."""

COMMUNICATIONS: Final = 0x02
WIRELESS: Final = 0xE0
HUMAN_INTERFACE: Final = 0x03
VENDOR_CLASS: Final = 0xFF
CONTROL_CLASSES: Final = (COMMUNICATIONS, WIRELESS, HUMAN_INTERFACE)
"""Classes whose interfaces have an interrupt endpoint and no bulk ones; the octets are on another one, if at all."""


class Stall(Exception):
    """The device does not understand the request: a STALL handshake."""


class Speed(enum.Enum):
    """Of the bus; the value is bcdUSB's idea of it, for people."""

    FULL = "full"
    HIGH = "high"

    @property
    def bulk_size(self) -> int:
        """wMaxPacketSize of a bulk endpoint (§5.8.3)."""
        return 512 if self is Speed.HIGH else 64

    @property
    def interval(self) -> int:
        """bInterval of a notification endpoint: 32 ms, in 2^(n-1) microframes or in frames (§9.6.6)."""
        return 9 if self is Speed.HIGH else 32


class Kind(enum.IntEnum):
    """bmAttributes of an endpoint."""

    CONTROL = 0
    BULK = 2
    INTERRUPT = 3


def _functional(interface: Interface) -> bytes:
    """The class-specific descriptors of an ACM control interface (CDC 1.2 §5.2.3, PSTN 1.2 §5.3)."""
    number = interface.number
    bodies = (
        (0x00, struct.pack("<H", 0x0110)),  # header: release of CDC
        (0x01, bytes((0x03, number + 1))),  # call management: by the device, over the data interface
        (0x02, bytes((0x02,))),  # abstract control: line coding, control line state, serial state
        (0x06, bytes((number, number + 1))),  # union
    )
    return b"".join(struct.pack("<BBB", 3 + len(body), _CS_INTERFACE, kind) + body for kind, body in bodies)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint other than 0."""

    address: int
    kind: Kind
    interface: int
    size: int
    interval: int

    @property
    def is_in(self) -> bool:
        return bool(self.address & IN)

    def descriptor(self) -> bytes:
        return struct.pack("<BBBBHB", 7, _ENDPOINT, self.address, self.kind, self.size, self.interval)


def _endpoints(usb: Usb, speed: Speed) -> Iterator[Endpoint]:
    """Addresses are given in the order of the interfaces, the notification endpoint first, as Qualcomm's modems do."""
    inward, outward = iter(range(1, 16)), iter(range(1, 16))
    try:
        for interface in usb.interfaces:
            number, code = interface.number, interface.kind[0]
            if code in CONTROL_CLASSES or (code == VENDOR_CLASS and interface.role != "diag"):
                yield Endpoint(IN | next(inward), Kind.INTERRUPT, number, NOTIFICATION_SIZE, speed.interval)
            if code not in CONTROL_CLASSES:
                yield Endpoint(IN | next(inward), Kind.BULK, number, speed.bulk_size, 0)
                yield Endpoint(next(outward), Kind.BULK, number, speed.bulk_size, 0)
    except StopIteration:
        raise ValueError("a device has no more than 15 endpoints in each direction") from None


@dataclass(frozen=True, slots=True)
class Setup:
    """The eight octets of a SETUP packet (§9.3)."""

    request_type: int
    request: int
    value: int
    index: int
    length: int

    @classmethod
    def parse(cls, octets: bytes) -> Setup:
        return cls(*struct.unpack("<BBHHH", octets))

    @property
    def is_in(self) -> bool:
        return bool(self.request_type & IN)


class Status(enum.Enum):
    """How a transfer ended."""

    DONE = "done"
    STALLED = "stalled"
    GONE = "gone"
    """The bus was reset or the device configured anew while it waited."""


@dataclass(eq=False, slots=True)
class Transfer:
    """One transfer of the host on an endpoint other than 0; ``done`` is called once, unless it is cancelled."""

    endpoint: int
    length: int
    """Octets that the host has room for (IN); of an OUT transfer, those it brings."""
    done: Callable[[Status, bytes], None]
    data: bytes = b""


@dataclass(slots=True)
class _Pipe:
    """What waits at an endpoint."""

    endpoint: Endpoint
    waiting: deque[Transfer] = field(default_factory=deque)
    backlog: bytearray = field(default_factory=bytearray)
    """IN: what the modem said and nobody fetched yet."""
    held: bool = False
    """OUT: the modem takes nothing."""


def _no_octets(_interface: int, _octets: bytes) -> None:
    """A modem that does not listen."""


def _no_change(*_: int) -> None:
    """A modem that does not care."""


class UsbDevice:
    """One device on one bus.

    Args:
        usb: what it is.
        serial: its serial number; empty for none.
        speed: of the bus it is on.
        received: called with the interface's number and the octets that the host sent there.
        opened: called with the interface's number and DTR when that changes.
        configured: called with the value of each SET_CONFIGURATION, and with 0 at a bus reset.
    """

    def __init__(
        self,
        usb: Usb,
        *,
        serial: str = "",
        speed: Speed = Speed.HIGH,
        received: Callable[[int, bytes], None] = _no_octets,
        opened: Callable[[int, bool], None] = _no_change,
        configured: Callable[[int], None] = _no_change,
    ) -> None:
        self.usb = usb
        self.ids = int(usb.vid, 16), int(usb.pid, 16)
        self.speed = speed
        self.configuration = 0
        self.endpoints = {endpoint.address: endpoint for endpoint in _endpoints(usb, speed)}
        self._interfaces = {interface.number: interface for interface in usb.interfaces}
        self._received = received
        self._opened = opened
        self._configured = configured
        self._pipes = {address: _Pipe(endpoint) for address, endpoint in self.endpoints.items()}
        bulk = [pipe for pipe in self._pipes.values() if pipe.endpoint.kind == Kind.BULK]
        self._inward = {self._function(pipe.endpoint): pipe for pipe in bulk if pipe.endpoint.is_in}
        self._outward = {self._function(pipe.endpoint): pipe for pipe in bulk if not pipe.endpoint.is_in}
        self._strings = ["", usb.manufacturer, usb.product, serial]
        self._coding: dict[int, bytes] = {}
        self._dtr: set[int] = set()

    def _function(self, endpoint: Endpoint) -> int:
        """The number under which the octets of this endpoint are known."""
        before = self._interfaces.get(endpoint.interface - 1)
        return endpoint.interface - (before is not None and before.kind == ACM)

    # ------------------------------------------------------------------------------------------------- descriptors

    def _string_index(self, index: int) -> int:
        return index if self._strings[index] else 0

    def _paired(self, interface: Interface) -> bool:
        """Whether it and the next one are one function."""
        after = self._interfaces.get(interface.number + 1)
        return interface.kind[0] in (COMMUNICATIONS, WIRELESS) and after is not None and after.role == "data"

    @property
    def triple(self) -> tuple[int, int, int]:
        """Class, subclass, protocol of the device: EF/02/01 with interface associations, else the interfaces tell."""
        return (0xEF, 2, 1) if any(map(self._paired, self.usb.interfaces)) else (0, 0, 0)

    def device_descriptor(self) -> bytes:
        """§9.6.1."""
        texts = [self._string_index(index) for index in (1, 2, 3)]
        head = struct.pack("<BBHBBBB", 18, _DEVICE, 0x0200, *self.triple, EP0_SIZE)
        return head + struct.pack("<HHHBBBB", *self.ids, RELEASE, *texts, 1)

    def qualifier_descriptor(self) -> bytes:
        """§9.6.2: what it would be at the other speed; the same."""
        device = self.device_descriptor()
        return bytes((10, _QUALIFIER)) + device[2:8] + bytes((1, 0))

    def configuration_descriptor(self, speed: Speed | None = None, *, kind: int = _CONFIGURATION) -> bytes:
        """§9.6.3 with all that belongs to it: bus powered, remote wake-up, 500 mA."""
        body = bytearray()
        endpoints = list(_endpoints(self.usb, speed or self.speed))
        for interface in self.usb.interfaces:
            number = interface.number
            own = [endpoint for endpoint in endpoints if endpoint.interface == number]
            if self._paired(interface):
                body += struct.pack("<8B", 8, _ASSOCIATION, number, 2, *interface.kind, 0)
            body += struct.pack("<9B", 9, _INTERFACE, number, 0, len(own), *interface.kind, 0)
            if interface.kind == ACM:
                body += _functional(interface)
            for endpoint in own:
                body += endpoint.descriptor()
        head = struct.pack("<BBHBBBBB", 9, kind, 9 + len(body), len(self.usb.interfaces), 1, 0, 0xA0, 250)
        return head + bytes(body)

    def string_descriptor(self, index: int) -> bytes:
        """§9.6.7.

        Raises:
            Stall: there is no such string.
        """
        if index == 0:
            return struct.pack("<BBH", 4, _STRING, LANGUAGE)
        if not 0 < index < len(self._strings) or not self._strings[index]:
            raise Stall
        text = self._strings[index].encode("utf-16-le")[:252]
        return bytes((2 + len(text), _STRING)) + text

    def _descriptor(self, kind: int, index: int) -> bytes:
        high = self.speed is Speed.HIGH
        match kind:
            case 1 if index == 0:
                return self.device_descriptor()
            case 2 if index == 0:
                return self.configuration_descriptor()
            case 3:
                return self.string_descriptor(index)
            case 6 if high and index == 0:
                return self.qualifier_descriptor()
            case 7 if high and index == 0:
                return self.configuration_descriptor(Speed.FULL, kind=_OTHER_SPEED)
        raise Stall

    # -------------------------------------------------------------------------------------------------- endpoint 0

    def control(self, setup: Setup, data: bytes = b"") -> bytes:
        """The data stage of the answer, cut to the length that was asked for; empty for a request towards the device.

        Raises:
            Stall: the device has no answer to this.
        """
        kind = setup.request_type >> 5 & 3
        if kind == 0:
            answer = self._standard(setup)
        elif kind == 1 and setup.request_type & 0x1F == 1:
            answer = self._class(setup, data)
        else:
            raise Stall
        return answer[: setup.length] if setup.is_in else b""

    def _standard(self, setup: Setup) -> bytes:
        """USB 2.0 §9.4."""
        match setup.request_type, setup.request:
            case 0x80, 6:  # GET_DESCRIPTOR
                return self._descriptor(setup.value >> 8, setup.value & 0xFF)
            case 0x80, 8:  # GET_CONFIGURATION
                return bytes((self.configuration,))
            case 0x00, 9:  # SET_CONFIGURATION
                self.configure(setup.value & 0xFF)
            case 0x81, 10:  # GET_INTERFACE
                self._interface(setup.index)
                return b"\0"
            case 0x01, 11:  # SET_INTERFACE
                self.set_interface(setup.index, setup.value)
            case ((0x80 | 0x81 | 0x82), 0):  # GET_STATUS: bus powered, nothing halted
                return b"\0\0"
            case ((0x00 | 0x01), (1 | 3)):  # CLEAR_FEATURE, SET_FEATURE: remote wake-up
                pass
            case 0x02, 1:  # CLEAR_FEATURE of an endpoint: its halt, which never is
                self._pipe(setup.index)
            case 0x00, 5:  # SET_ADDRESS: the transport's business
                pass
            case _:
                raise Stall
        return b""

    def _class(self, setup: Setup, data: bytes) -> bytes:
        """PSTN 1.2 §6.3; ``option`` sends the control line state to vendor interfaces too."""
        number = setup.index & 0xFF
        self._interface(number)
        match setup.request:
            case 0x20:  # SET_LINE_CODING
                self._coding[number] = data
            case 0x21:  # GET_LINE_CODING: 115200 8N1 until told otherwise
                return self._coding.get(number, struct.pack("<IBBB", 115200, 0, 0, 8))
            case 0x22:  # SET_CONTROL_LINE_STATE
                self._line_state(number, dtr=bool(setup.value & 1))
            case 0x23 | 0x00:  # SEND_BREAK; SEND_ENCAPSULATED_COMMAND, which is QMI's way: heard, not answered
                pass
            case _:
                raise Stall
        return b""

    def _interface(self, number: int) -> Interface:
        if not self.configuration or number not in self._interfaces:
            raise Stall
        return self._interfaces[number]

    def _line_state(self, number: int, *, dtr: bool) -> None:
        if dtr != (number in self._dtr):
            (self._dtr.add if dtr else self._dtr.discard)(number)
            self._opened(number, dtr)

    def rate(self, interface: int) -> int | None:
        """The bit rate that the host has set (ACM); None where it has set none."""
        coding = self._coding.get(interface, b"")
        return int.from_bytes(coding[:4], "little") if len(coding) >= 4 else None

    def set_interface(self, number: int, setting: int) -> None:
        """There is only setting 0.

        Raises:
            Stall: no such interface or setting.
        """
        self._interface(number)
        if setting != 0:
            raise Stall

    def configure(self, value: int) -> None:
        """SET_CONFIGURATION: what waited is gone.

        Raises:
            Stall: there is no such configuration.
        """
        if value not in (0, 1):
            raise Stall
        self._forget()
        self.configuration = value
        self._configured(value)

    def reset(self) -> None:
        """A bus reset, or the cable pulled."""
        self._forget()
        self.configuration = 0
        self._configured(0)

    def _forget(self) -> None:
        for pipe in self._pipes.values():
            pipe.backlog.clear()
            waiting = list(pipe.waiting)
            pipe.waiting.clear()
            for transfer in waiting:
                transfer.done(Status.GONE, b"")
        closed, self._dtr = self._dtr, set()
        for number in sorted(closed):
            self._opened(number, False)

    # ----------------------------------------------------------------------------------------------- other endpoints

    def _pipe(self, address: int) -> _Pipe:
        pipe = self._pipes.get(address)
        if pipe is None or not self.configuration:
            raise Stall
        return pipe

    def submit(self, transfer: Transfer) -> None:
        """Take a transfer; ``done`` is called now or later."""
        try:
            pipe = self._pipe(transfer.endpoint)
        except Stall:
            transfer.done(Status.STALLED, b"")
            return
        pipe.waiting.append(transfer)
        self._move(pipe)

    def cancel(self, transfer: Transfer) -> bool:
        """Take it back; False when it was done before. ``done`` is not called any more."""
        pipe = self._pipes.get(transfer.endpoint)
        if pipe is None or transfer not in pipe.waiting:
            return False
        pipe.waiting.remove(transfer)
        return True

    def _move(self, pipe: _Pipe) -> None:
        """End every transfer that can be ended. An IN transfer ends with what there is: a short packet ends it."""
        if pipe.endpoint.is_in:
            while pipe.waiting and pipe.backlog:
                transfer = pipe.waiting.popleft()
                data = bytes(pipe.backlog[: transfer.length])
                del pipe.backlog[: transfer.length]
                transfer.done(Status.DONE, data)
        else:
            while pipe.waiting and not pipe.held:
                transfer = pipe.waiting.popleft()
                transfer.done(Status.DONE, b"")
                self._received(self._function(pipe.endpoint), transfer.data)

    # ----------------------------------------------------------------------------------------------------- the modem

    def write(self, interface: int, octets: bytes) -> None:
        """Say something; what nobody fetches is kept up to ``BACKLOG``. Nothing is kept while not configured."""
        pipe = self._inward[interface]
        if not self.configuration:
            return
        pipe.backlog += octets
        if len(pipe.backlog) > BACKLOG:
            del pipe.backlog[: len(pipe.backlog) - BACKLOG]
        self._move(pipe)

    def discard(self, interface: int) -> None:
        """Forget what was not fetched yet."""
        self._inward[interface].backlog.clear()

    def unread(self, interface: int) -> int:
        """Octets that were not fetched yet."""
        return len(self._inward[interface].backlog)

    def hold(self, interface: int, held: bool) -> None:
        """Take no more octets from the host there, or take them again."""
        pipe = self._outward[interface]
        pipe.held = held
        self._move(pipe)
