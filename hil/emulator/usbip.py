"""The modem's end of USB/IP: a USB device exported over TCP, for any Linux that has ``vhci_hcd``: a guest, a real Pi.

Promise: to the usbip tools of Linux and to ``vhci_hcd`` it is a server of USB/IP 1.1.1 that exports one ``UsbDevice``
under the bus id ``BUSID``, or none for the time being. It is plugged in when a client imports it and unplugged when
that connection ends; ``pull`` ends it from here. One client at a time: the next one is refused. Isochronous transfers
are not there. TCP alone guards it, so it listens where the test says and nowhere else.

Theory of operation (Linux, Documentation/usb/usbip_protocol.rst). A connection begins with an operation, OP_REQ_DEVLIST
or OP_REQ_IMPORT; after a successful import the same connection carries URBs: USBIP_CMD_SUBMIT and USBIP_CMD_UNLINK,
each of 48 octets and answered under its sequence number. All numbers are big endian, except in the SETUP packet. An IN
transfer without octets to give is not answered until there are some, or until it is unlinked: then the answer to the
unlinking is -ECONNRESET and the transfer has none; 0 says that the transfer's answer came first.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import struct
from typing import TYPE_CHECKING, Final

from hil.emulator.usbdevice import IN, RELEASE, Setup, Speed, Stall, Status, Transfer

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.emulator.usbdevice import UsbDevice

__all__ = ["BUSID", "Exporter"]

VERSION: Final = 0x0111
OP_REQ_DEVLIST, OP_REP_DEVLIST = 0x8005, 0x0005
OP_REQ_IMPORT, OP_REP_IMPORT = 0x8003, 0x0003
CMD_SUBMIT, CMD_UNLINK, RET_SUBMIT, RET_UNLINK = 1, 2, 3, 4
BUSID: Final = "1-1"
BUS, NUMBER = 1, 2
"""Bus and device number; their place in ``devid`` is (bus << 16 | number)."""
_SPEED: Final = {Speed.FULL: 2, Speed.HIGH: 3}
"""enum usb_device_speed of Linux' ch9.h."""
_STATUS: Final = {Status.DONE: 0, Status.STALLED: -errno.EPIPE, Status.GONE: -errno.ESHUTDOWN}
_OUT, _IN = 0, 1
_MAX_TRANSFER: Final = 16 * 1024 * 1024
"""Octets of an OUT transfer that nobody's driver sends."""


class Exporter:
    """A TCP server with one device on it, or none; ``device`` may be set at any time, for the next client."""

    def __init__(self, device: UsbDevice | None, *, changed: Callable[[bool], None] | None = None) -> None:
        self.device = device
        self._changed = changed
        self._server: asyncio.Server | None = None
        self._client: _Client | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Serve; the port."""
        self._server = await asyncio.start_server(self._serve, host, port)
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    @property
    def imported(self) -> bool:
        """Whether it is plugged in somewhere."""
        return self._client is not None

    def pull(self) -> None:
        """Unplug; it can be imported again."""
        if self._client is not None:
            self._client.writer.transport.abort()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        connections = dict(self._connections)
        for writer in connections.values():
            writer.transport.abort()
        await asyncio.gather(*connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            await self._operation(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, struct.error):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            del self._connections[task]

    async def _operation(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, code, _ = struct.unpack(">HHI", await reader.readexactly(8))
        device = self.device
        if code == OP_REQ_DEVLIST:
            row = b""
            if device is not None:
                row = _described(device) + b"".join(bytes((*i.kind, 0)) for i in device.usb.interfaces)
            writer.write(struct.pack(">HHII", VERSION, OP_REP_DEVLIST, 0, device is not None) + row)
            await writer.drain()
        elif code == OP_REQ_IMPORT:
            wanted = (await reader.readexactly(32)).rstrip(b"\0").decode("latin-1")
            if device is None or wanted != BUSID or self._client is not None:
                writer.write(struct.pack(">HHI", VERSION, OP_REP_IMPORT, 1))
                await writer.drain()
                return
            self._client = client = _Client(device, writer)
            writer.write(struct.pack(">HHI", VERSION, OP_REP_IMPORT, 0) + _described(device))
            if self._changed:
                self._changed(True)
            try:
                await client.run(reader)
            finally:
                self._client = None
                client.forget()
                device.reset()
                if self._changed:
                    self._changed(False)


def _described(device: UsbDevice) -> bytes:
    place = f"/sys/devices/emulated/{BUSID}".encode().ljust(256, b"\0") + BUSID.encode().ljust(32, b"\0")
    numbers = struct.pack(">IIIHHH", BUS, NUMBER, _SPEED[device.speed], *device.ids, RELEASE)
    return place + numbers + bytes((*device.triple, device.configuration, 1, len(device.usb.interfaces)))


class _Client:
    """The connection on which the device is imported."""

    def __init__(self, device: UsbDevice, writer: asyncio.StreamWriter) -> None:
        self.device = device
        self.writer = writer
        self._waiting: dict[int, Transfer] = {}

    def forget(self) -> None:
        """Nobody is there any more to whom a waiting transfer could be answered."""
        waiting, self._waiting = self._waiting, {}
        for transfer in waiting.values():
            self.device.cancel(transfer)

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Until the connection ends."""
        while True:
            command, number, _, direction, endpoint = struct.unpack(">5I", await reader.readexactly(20))
            rest = await reader.readexactly(28)
            if command == CMD_UNLINK:
                self._unlink(number, struct.unpack(">I", rest[:4])[0])
            elif command == CMD_SUBMIT:
                _, length, _, _, _, setup = struct.unpack(">Iiiii8s", rest)
                if not 0 <= length <= _MAX_TRANSFER:
                    return
                data = await reader.readexactly(length) if direction == _OUT else b""
                if endpoint == 0:
                    self._control(number, Setup.parse(setup), data)
                else:
                    self._submit(number, endpoint | (IN if direction == _IN else 0), length, data)
            else:
                return
            await self.writer.drain()

    def _answer(self, number: int, status: int, moved: int, data: bytes = b"") -> None:
        head = struct.pack(">5I", RET_SUBMIT, number, 0, 0, 0) + struct.pack(">iiiii8x", status, moved, 0, 0, 0)
        with contextlib.suppress(ConnectionError):
            self.writer.write(head + data)

    def _control(self, number: int, setup: Setup, data: bytes) -> None:
        try:
            answer = self.device.control(setup, data)
        except Stall:
            self._answer(number, -errno.EPIPE, 0)
        else:
            self._answer(number, 0, len(answer) if setup.is_in else len(data), answer)

    def _submit(self, number: int, address: int, length: int, data: bytes) -> None:
        def done(status: Status, answer: bytes) -> None:
            if self._waiting.pop(number, None) is not None:
                outward = status is Status.DONE and not address & IN
                self._answer(number, _STATUS[status], length if outward else len(answer), answer)

        self._waiting[number] = transfer = Transfer(address, length, done, data)
        self.device.submit(transfer)

    def _unlink(self, number: int, target: int) -> None:
        transfer = self._waiting.pop(target, None)
        taken = transfer is not None and self.device.cancel(transfer)
        head = struct.pack(">5I", RET_UNLINK, number, 0, 0, 0)
        self.writer.write(head + struct.pack(">i24x", -errno.ECONNRESET if taken else 0))
