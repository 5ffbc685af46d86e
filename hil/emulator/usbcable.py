"""The cable of a modem that is a USB device for another kernel: a guest's by usbredir, any Linux' by USB/IP.

Promise: a ``transport.Cable``. ``plug`` makes the device appear at the host, ``unplug`` takes it away, and the modem
hears its ports as it hears a pty: octets, who opened and closed (DTR), the bit rate where the host sets one (ACM). A
host that lets the configuration go and sets it again, as one does that writes 0 and 1 to ``authorized``, has restarted
the modem's USB: ``Modem.usb_restarted``.

Theory of operation. Each time that it is plugged in it is another ``UsbDevice``, so that nothing of an earlier life can
be heard; a ``Carrier`` takes it to the host. Carriers connect in the background: a modem is plugged in from its own
point of view as soon as ``plug`` was called, and ``status`` tells whether the host has it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from hil.emulator.shape import OTHER_MODES
from hil.emulator.usbdevice import UsbDevice
from hil.emulator.usbip import Exporter
from hil.emulator.usbredir import Plug

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hil.emulator.modem import Modem
    from hil.emulator.shape import Usb
    from hil.emulator.transport import Cable, CableFactory, Listener

__all__ = ["over_usbip", "over_usbredir"]


class Carrier(Protocol):
    """The way of one device to a host and back."""

    place: str
    """What the host calls the socket, for people."""

    @property
    def connected(self) -> bool:
        """Whether a host has it."""

    def carry(self, device: UsbDevice) -> None:
        """Take it there, in the background."""

    def pull(self) -> None:
        """Take it away; nothing happens when it is not there."""


class Redirection:
    """Into the socket of a virtual machine's ``usb-redir`` device."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.place = str(path)
        self._path = path
        self._loop = loop
        self._task: asyncio.Task[None] | None = None
        self._plug: Plug | None = None

    @property
    def connected(self) -> bool:
        return self._plug is not None

    def carry(self, device: UsbDevice) -> None:
        self.pull()
        self._task = self._loop.create_task(self._connect(device))

    async def _connect(self, device: UsbDevice) -> None:
        def ended() -> None:
            if self._plug is plug:
                self._plug = None

        plug: Plug | None = None
        with contextlib.suppress(ConnectionError, FileNotFoundError):
            # no machine, no modem in it: the status tells
            plug = self._plug = await Plug.into(self._path, device, ended=ended)

    def pull(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._plug is not None:
            self._plug.pull()
            self._plug = None


class Export:
    """Over TCP, to whoever attaches it; after a ``pull`` it has to be attached again."""

    def __init__(self, host: str, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.place = f"{host}:{port}"
        self._exporter = Exporter(None)
        self._listening = loop.create_task(self._exporter.listen(host, port))

    @property
    def connected(self) -> bool:
        return self._exporter.imported

    def carry(self, device: UsbDevice) -> None:
        self.pull()
        self._exporter.device = device

    def pull(self) -> None:
        self._exporter.device = None
        self._exporter.pull()


class UsbLine:
    """One serial interface of the device."""

    def __init__(self, cable: UsbCable, listener: Listener) -> None:
        self._cable = cable
        self._listener = listener
        self.number = listener.interface.number
        self.users = 0
        self.opens = 0

    @property
    def place(self) -> str:
        """The carrier's; what the port is called is the host's business."""
        return f"{self._cable.carrier.place}#{self.number}"

    @property
    def rate(self) -> int | None:
        return self._cable.device.rate(self.number) if self._cable.device is not None else None

    def write(self, data: bytes) -> None:
        if self._cable.device is not None:
            self._cable.device.write(self.number, data)

    def discard(self) -> None:
        if self._cable.device is not None:
            self._cable.device.discard(self.number)

    def received(self, data: bytes) -> None:
        self._listener.received(data)

    def opened(self, is_open: bool) -> None:
        self.users = int(is_open)
        self.opens += is_open
        self._listener.opened(is_open)


class UsbCable:
    """All interfaces of one modem."""

    usb = True

    def __init__(self, modem: Modem, listeners: Sequence[Listener], carrier: Carrier) -> None:
        assert modem.persona.usb is not None
        self.carrier = carrier
        self.device: UsbDevice | None = None
        self._usb: Usb = modem.persona.usb
        self._modem = modem
        self.lines: Sequence[UsbLine] = [UsbLine(self, listener) for listener in listeners]

    @property
    def plugged(self) -> bool:
        return self.device is not None

    @property
    def powered_by_host(self) -> bool:
        """A virtual port does not switch its supply."""
        return True

    def plug(self) -> None:
        """Appear."""
        if self.device is not None:
            return
        by_number = {line.number: line for line in self.lines}
        was_configured = False

        def received(number: int, data: bytes) -> None:
            line = by_number.get(number)
            if self.device is device and line is not None:
                line.received(data)

        def opened(number: int, is_open: bool) -> None:
            line = by_number.get(number)
            if self.device is device and line is not None:
                line.opened(is_open)

        def configured(value: int) -> None:
            nonlocal was_configured
            if self.device is device and value:
                if was_configured:
                    self._modem.usb_restarted()
                was_configured = True

        usb = OTHER_MODES.get(self._modem.settings.reboot_as, self._usb)
        serial = usb.serial.format(imei=self._modem.imei)
        device = UsbDevice(usb, serial=serial, received=received, opened=opened, configured=configured)
        self.device = device
        self.carrier.carry(device)

    def unplug(self) -> None:
        """Vanish."""
        if self.device is not None:
            self.device = None
            for line in self.lines:
                line.users = 0
            self.carrier.pull()

    def renumber(self) -> None:
        """Vanish and appear at once."""
        if self.plugged:
            self.unplug()
            self.plug()

    def exchange(self, other: UsbCable) -> None:
        """Each is plugged in where the other was; both are out meanwhile."""
        self.carrier, other.carrier = other.carrier, self.carrier

    def status(self) -> dict[str, object]:
        device = self.device
        now = {"id": device.usb.id, "configuration": device.configuration} if device is not None else {}
        return {"at": self.carrier.place, "connected": self.carrier.connected, **now}


def _made(carrier: Callable[[Modem], Carrier]) -> CableFactory:
    def make(modem: Modem, listeners: Sequence[Listener]) -> Cable:
        return UsbCable(modem, listeners, carrier(modem))

    return make


def over_usbredir(path: Path) -> CableFactory:
    """Into this socket of a virtual machine."""
    return _made(lambda modem: Redirection(path, modem.loop))


def over_usbip(port: int, *, host: str = "127.0.0.1") -> CableFactory:
    """On this TCP port."""
    return _made(lambda modem: Export(host, port, modem.loop))
