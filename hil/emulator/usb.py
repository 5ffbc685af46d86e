"""Fake USB for a hub under test: devices in a umockdev testbed, with ptys behind their ttys.

umockdev (Debian: umockdev, libumockdev0) keeps a directory that looks like /sys and /dev. A process that runs under its
preload library with ``UMOCKDEV_DIR`` sees it in place of the real ones, hears its udev events, and opens
``/dev/ttyUSB0`` as the pty behind it. This process owns the testbed, and needs the preload library itself.

What is there, as Linux has it: ``usb1`` (root hub) with hubs ``1-1`` … of seven ports; a device ``1-1.2`` with its
attributes, a ``driver`` link, a ``port`` link; interfaces ``1-1.2:1.N``; the usb-serial child and its tty, or the tty
of a CDC-ACM interface; links in /dev/serial/by-id and by-path. A tty takes the lowest free number, so that numbers
change with the order of coming.

What the hub under test may write, and what it does:

* ``…/1-1.2/authorized``: 0 takes the interfaces away, 1 brings them back, perhaps under other numbers. The modem's
  power stays; its USB stack starts anew (remedy ``usb``).
* ``/sys/bus/usb/drivers/usb/unbind`` and ``bind``, with the device's name: the same.
* ``…/1-1:1.0/1-1-port2/disable``: 1 cuts the supply of what hangs there (remedy ``supply``), 0 gives it back.

Limits: /run/udev is not redirected, so that no device is ``initialized`` for libudev, and none is found by its tag
(the property TAGS is there, and events carry it). usbfs is not there: what goes by libusb sees nothing. Two writes to
one attribute within the same moment are one.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import os
import select
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hil.emulator import inotify
from hil.emulator.inotify import Inotify
from hil.emulator.line import PtyLine
from hil.emulator.settings import Settings
from hil.emulator.shape import OTHER_MODES, STRANGERS, Interface, Usb

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence

    from hil.emulator.modem import Modem
    from hil.emulator.transport import CableFactory, Listener

LIBRARY: Final = "libumockdev.so.0"
PRELOAD: Final = "libumockdev-preload.so.0"
PORTS: Final = 7
"""Ports of a hub."""
_LISTENERS: Final = 5.0
"""Seconds that a listener is given to read its events; one that is stopped for longer ends the test."""
_TTY_MAJOR: Final = {"ttyUSB": 188, "ttyACM": 166}
_TAG: Final = "modemhub"
_WRITTEN: Final = inotify.MODIFY | inotify.CLOSE_WRITE


class Unavailable(RuntimeError):
    """umockdev is not installed."""


def library() -> ctypes.CDLL:
    """libumockdev; raises Unavailable with what to install."""
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise Unavailable(f"umockdev is missing: apt install umockdev libumockdev0 ({error})") from None


def preloaded() -> bool:
    """Whether this process runs under the preload library."""
    return PRELOAD in os.environ.get("LD_PRELOAD", "")


class Testbed:
    """umockdev's directory of fake devices."""

    __test__ = False

    def __init__(self) -> None:
        self._lib = lib = library()
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        lib.umockdev_testbed_new.restype = pointer
        lib.umockdev_testbed_get_root_dir.restype = text
        lib.umockdev_testbed_get_root_dir.argtypes = [pointer]
        lib.umockdev_testbed_add_devicev.restype = text
        lib.umockdev_testbed_add_devicev.argtypes = [pointer, text, text, text, pointer, pointer]
        lib.umockdev_testbed_uevent.argtypes = [pointer, text, text]
        lib.umockdev_testbed_remove_device.argtypes = [pointer, text]
        self._testbed = lib.umockdev_testbed_new()
        self.root = Path(lib.umockdev_testbed_get_root_dir(self._testbed).decode())

    def add(
        self,
        subsystem: str,
        name: str,
        parent: str | None,
        attributes: Mapping[str, str],
        properties: Mapping[str, str],
    ) -> str:
        """Add a device, tell ``add``; its path in /sys."""
        self._wait_for_listeners()
        made: bytes | None = self._lib.umockdev_testbed_add_devicev(
            self._testbed, subsystem.encode(), name.encode(), None if parent is None else parent.encode(),
            _pairs(attributes), _pairs(properties),
        )  # fmt: skip
        if made is None:
            raise RuntimeError(f"umockdev refused {name}")
        return made.decode()

    def uevent(self, path: str, action: str) -> None:
        self._wait_for_listeners()
        self._lib.umockdev_testbed_uevent(self._testbed, path.encode(), action.encode())

    def remove(self, path: str) -> None:
        """Tell ``remove``, and remove it."""
        self.uevent(path, "remove")
        self._lib.umockdev_testbed_remove_device(self._testbed, path.encode())
        shutil.rmtree(self.real(path), ignore_errors=True)

    def _wait_for_listeners(self) -> None:
        """Until everybody who listens can take one more event.

        umockdev ends this process when one cannot, and ten unread ones are enough for that (net.unix.max_dgram_qlen).
        """
        for listener in self.root.glob("event*"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_RAW) as probe:
                with contextlib.suppress(OSError):
                    probe.connect(str(listener))
                select.select([], [probe], [], _LISTENERS)

    def real(self, path: str) -> Path:
        """Where a path of the fake tree really is."""
        return self.root / path.lstrip("/")

    def close(self) -> None:
        """Take it all down."""
        gobject = ctypes.CDLL("libgobject-2.0.so.0")
        gobject.g_object_unref.argtypes = [ctypes.c_void_p]
        gobject.g_object_unref(self._testbed)
        shutil.rmtree(self.root, ignore_errors=True)


def _pairs(values: Mapping[str, str]) -> ctypes.Array[ctypes.c_char_p]:
    flat = [part.encode() for pair in values.items() for part in pair]
    return (ctypes.c_char_p * (len(flat) + 1))(*flat, None)


class Gadget:
    """What hangs on the bus: a shape, and lines for those of its interfaces that have a tty.

    A subclass may hear that the host let it go and took it again, and that its port lost or got power.
    """

    def __init__(self, bus: Bus, position: str, lines: Mapping[int, PtyLine]) -> None:
        self.bus = bus
        self.position = position
        self.by_number = dict(lines)
        self.path: str | None = None
        """In /sys, while it is plugged."""
        self.device_number = 0
        self.shown: Usb | None = None
        self.serial = ""
        self.children: list[str] = []
        """The paths of what its interfaces brought, in the order of coming."""
        self.ttys: dict[int, str] = {}
        self.links: list[Path] = []
        self.watch = -1

    @property
    def shape(self) -> Usb:
        raise NotImplementedError

    def let_go(self) -> None:
        """The host took the interfaces away."""

    def taken(self) -> None:
        """The host has the interfaces again."""

    def powered(self, on: bool) -> None:
        """The port was switched."""


class Bus:
    """The root hub, its hubs, and what hangs on them."""

    def __init__(self, testbed: Testbed, watcher: Inotify, loop: asyncio.AbstractEventLoop) -> None:
        self.testbed = testbed
        self.watcher = watcher
        """Of the ttys."""
        self._attributes = Inotify(loop)
        self.loop = loop
        self.gadgets: dict[str, Gadget] = {}
        """By position, plugged or not: the places that are taken."""
        self._hubs: dict[str, str] = {}
        self._off: set[str] = set()
        self._names: set[str] = set()
        self._hold: set[str] = set()
        self._numbers = 1
        self._driver_files()
        root = testbed.add(
            "usb", "usb1", None,
            {"idVendor": "1d6b", "idProduct": "0002", "manufacturer": "Linux", "product": "EHCI Host Controller",
             "authorized": "1", "busnum": "1", "devnum": "1", "bDeviceClass": "09", "speed": "480", "maxchild": "4"},
            {"DEVTYPE": "usb_device", "DEVNAME": "/dev/bus/usb/001/001", "BUSNUM": "001", "DEVNUM": "001"},
        )  # fmt: skip
        self._hubs["1"] = root
        self._ports("1", root, "1-0:1.0", "usb1")

    # ---- the tree

    def _driver_files(self) -> None:
        drivers = self.testbed.root / "sys/bus/usb/drivers/usb"
        drivers.mkdir(parents=True)
        for name in ("unbind", "bind"):
            file = drivers / name
            file.touch()
            self._attributes.watch(file, _WRITTEN, functools.partial(self._driver_written, file))

    def _driver_written(self, file: Path, _mask: int) -> None:
        gadget = self.gadgets.get(file.read_text().strip())
        if gadget is not None and gadget.path is not None:
            self._authorize(gadget, on=file.name == "bind")

    def _ports(self, position: str, path: str, interface: str, prefix: str) -> None:
        """The ports of a hub as directories, each with its switch."""
        self.testbed.add(
            "usb", interface, path,
            {"bInterfaceNumber": "00", "bInterfaceClass": "09", "bInterfaceSubClass": "00", "bInterfaceProtocol": "00"},
            {"DEVTYPE": "usb_interface"},
        )  # fmt: skip
        for number in range(1, PORTS + 1):
            port = self.testbed.real(f"{path}/{interface}/{prefix}-port{number}")
            port.mkdir(parents=True)
            switch = port / "disable"
            switch.write_text("0\n")
            (port / "connect_type").write_text("hotplug\n")
            child = f"1-{number}" if position == "1" else f"{position}.{number}"
            self._attributes.watch(switch, _WRITTEN, functools.partial(self._switched, child, switch))

    def _switched(self, position: str, switch: Path, _mask: int) -> None:
        text = switch.read_text().strip()
        if text not in ("0", "1") or (text == "1") == (position in self._off):
            return
        (self._off.add if text == "1" else self._off.discard)(position)
        gadget = self.gadgets.get(position)
        if gadget is not None:
            gadget.powered(text == "0")

    def gives_power(self, position: str) -> bool:
        return position not in self._off

    def port(self, position: str) -> str:
        """The /sys path of the port at which this position is."""
        parent, number = _parent(position)
        if parent == "1":
            return f"{self._hubs['1']}/1-0:1.0/usb1-port{number}"
        return f"{self._hubs[parent]}/{parent}:1.0/{parent}-port{number}"

    def hub(self, position: str) -> str:
        """The /sys path of the hub at this position, made where there is none; raises ValueError."""
        if position in self._hubs:
            return self._hubs[position]
        if position in self.gadgets:
            raise ValueError(f"{position} is no hub")
        parent, _ = _parent(position)
        above = self.hub(parent)
        self._numbers += 1
        path = self.testbed.add(
            "usb", position, above,
            {"idVendor": "2109", "idProduct": "3431", "product": "USB2.0 Hub", "authorized": "1", "busnum": "1",
             "devnum": str(self._numbers), "devpath": position.partition("-")[2], "bDeviceClass": "09",
             "bConfigurationValue": "1", "bNumInterfaces": " 1", "speed": "480", "maxchild": str(PORTS)},
            {"DEVTYPE": "usb_device", "ID_VENDOR_ID": "2109", "ID_MODEL_ID": "3431", "ID_BUS": "usb",
             "BUSNUM": "001", "DEVNUM": f"{self._numbers:03d}", "DEVNAME": f"/dev/bus/usb/001/{self._numbers:03d}"},
        )  # fmt: skip
        self._hubs[position] = path
        self._ports(position, path, f"{position}:1.0", position)
        self._link(f"{path}/port", self.port(position))
        return path

    def free_position(self) -> str:
        """The next place where nothing is."""
        hub = 0
        while True:
            hub += 1
            if f"1-{hub}" in self.gadgets:
                continue
            for number in range(1, PORTS + 1):
                position = f"1-{hub}.{number}"
                if position not in self.gadgets and position not in self._hubs:
                    return position

    def take(self, gadget: Gadget, position: str) -> None:
        """Reserve a place; raises ValueError."""
        parent, number = _parent(position)
        if position in self.gadgets or position in self._hubs or not 1 <= number <= PORTS:
            raise ValueError(f"{position} is taken, or no place")
        self.hub(parent)
        gadget.position = position
        self.gadgets[position] = gadget

    # ---- coming and going

    def appear(self, gadget: Gadget) -> None:
        """Plug it in where its place is."""
        if gadget.path is not None or not self.gives_power(gadget.position):
            return
        shape = gadget.shown = gadget.shape
        position = gadget.position
        self._numbers += 1
        number = gadget.device_number = self._numbers
        strings = {"manufacturer": shape.manufacturer, "product": shape.product, "serial": gadget.serial}
        parent, _ = _parent(position)
        gadget.path = self.testbed.add(
            "usb", position, self._hubs[parent],
            {"idVendor": shape.vid, "idProduct": shape.pid, **{key: text for key, text in strings.items() if text},
             "authorized": "1", "busnum": "1", "devnum": str(number), "devpath": position.partition("-")[2],
             "bDeviceClass": "00", "bcdDevice": "0318", "bConfigurationValue": "1", "bNumConfigurations": "1",
             "bNumInterfaces": f"{len(shape.interfaces):2d}", "bMaxPower": "500mA", "speed": "480", "version": " 2.00"},
            {"DEVTYPE": "usb_device", "DRIVER": "usb", "PRODUCT": f"{shape.vid}/{shape.pid}/318",
             "BUSNUM": "001", "DEVNUM": f"{number:03d}", "DEVNAME": f"/dev/bus/usb/001/{number:03d}",
             "MAJOR": "189", "MINOR": str(number - 1), **self._identity(gadget)},
        )  # fmt: skip
        self._link(f"{gadget.path}/driver", "/sys/bus/usb/drivers/usb")
        self._link(f"{gadget.path}/port", self.port(position))
        authorized = self.testbed.real(f"{gadget.path}/authorized")
        gadget.watch = self._attributes.watch(authorized, _WRITTEN, lambda _mask: self._authorized(gadget, authorized))
        self.testbed.uevent(gadget.path, "bind")
        self._claim(gadget)

    def vanish(self, gadget: Gadget) -> None:
        """Pull it out."""
        if gadget.path is None:
            return
        self._attributes.forget(gadget.watch, unheard=True)
        self._release(gadget)
        path, gadget.path = gadget.path, None
        self.testbed.remove(path)

    def renumber(self, gadget: Gadget) -> None:
        """Out and in again, under other tty numbers."""
        self._hold = set(gadget.ttys.values())
        self.vanish(gadget)
        try:
            self.appear(gadget)
        finally:
            self._hold = set()

    def _authorized(self, gadget: Gadget, file: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            text = file.read_text().strip()
            if text in ("0", "1"):
                self._authorize(gadget, on=text == "1")

    def _authorize(self, gadget: Gadget, *, on: bool) -> None:
        if gadget.path is None or on == bool(gadget.children):
            return
        if on:
            self._claim(gadget)
            gadget.taken()
        else:
            self._release(gadget)
            gadget.let_go()

    def _identity(self, gadget: Gadget) -> dict[str, str]:
        """What udev's usb_id and path_id find out."""
        shape = gadget.shown
        assert shape is not None
        vendor, model = (
            text.replace(" ", "_") for text in (shape.manufacturer or shape.vid, shape.product or shape.pid)
        )
        path = f"platform-emulated-usb-0:{gadget.position.partition('-')[2]}"
        kinds = dict.fromkeys("".join(f"{part:02x}" for part in one.kind) for one in shape.interfaces)
        found = {
            "ID_BUS": "usb", "ID_VENDOR_ID": shape.vid, "ID_MODEL_ID": shape.pid,
            "ID_USB_VENDOR_ID": shape.vid, "ID_USB_MODEL_ID": shape.pid, "ID_VENDOR": vendor, "ID_MODEL": model,
            "ID_REVISION": "0318", "ID_SERIAL": "_".join(part for part in (vendor, model, gadget.serial) if part),
            "ID_USB_INTERFACES": f":{':'.join(kinds)}:", "ID_PATH": path,
            "ID_PATH_TAG": path.replace(":", "_").replace(".", "_"),
        }  # fmt: skip
        if isinstance(gadget, ModemGadget):
            found |= {"ID_MODEMHUB": "1", "TAGS": f":{_TAG}:"}  # what rules for modems would add
        if gadget.serial:
            found["ID_SERIAL_SHORT"] = found["ID_USB_SERIAL_SHORT"] = gadget.serial
        return found

    def _claim(self, gadget: Gadget) -> None:
        assert gadget.path is not None
        assert gadget.shown is not None
        for interface in gadget.shown.interfaces:
            numbers = {
                "bInterfaceNumber": f"{interface.number:02x}", "bAlternateSetting": " 0", "bNumEndpoints": "03",
                **{key: f"{value:02x}" for key, value in
                   zip(("bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol"), interface.kind, strict=True)},
            }  # fmt: skip
            driver = "ftdi_sio" if gadget.shown.vid == "0403" else interface.driver
            path = self.testbed.add(
                "usb", f"{gadget.position}:1.{interface.number}", gadget.path, numbers,
                {"DEVTYPE": "usb_interface", "DRIVER": driver, "PRODUCT": f"{gadget.shown.vid}/{gadget.shown.pid}/318",
                 "INTERFACE": "/".join(str(part) for part in interface.kind)},
            )  # fmt: skip
            gadget.children.append(path)
            self.testbed.real(f"/sys/bus/usb/drivers/{driver}").mkdir(parents=True, exist_ok=True)
            self._link(f"{path}/driver", f"/sys/bus/usb/drivers/{driver}")
            line = gadget.by_number.get(interface.number)
            if line is not None and interface.serial:
                self._tty(gadget, interface, path, line, driver)
            self.testbed.uevent(path, "bind")

    def _tty(self, gadget: Gadget, interface: Interface, parent: str, line: PtyLine, driver: str) -> None:
        kind = "ttyACM" if driver == "cdc_acm" else "ttyUSB"
        name = next(found for n in range(256) if (found := f"{kind}{n}") not in self._names and found not in self._hold)
        self._names.add(name)
        gadget.ttys[interface.number] = name
        devices = self.testbed.root / "dev"
        devices.mkdir(exist_ok=True)
        line.link = devices / name
        line.plug()
        if kind == "ttyUSB":
            parent = self.testbed.add("usb-serial", name, parent, {"port_number": "0"}, {"DRIVER": driver})
            gadget.children.append(parent)
        identity = self._identity(gadget)
        place = f"if{interface.number:02x}" + ("-port0" if kind == "ttyUSB" else "")
        links = (
            f"serial/by-id/usb-{identity['ID_SERIAL']}-{place}",
            f"serial/by-path/{identity['ID_PATH']}:1.{interface.number}{'-port0' if kind == 'ttyUSB' else ''}",
        )
        for link in links:
            file = devices / link
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            file.symlink_to(f"../../{name}")
            gadget.links.append(file)
        minor = int(name.removeprefix(kind))
        path = self.testbed.add(
            "tty", f"tty/{name}", parent, {"dev": f"{_TTY_MAJOR[kind]}:{minor}"},
            {**identity, "DEVNAME": f"/dev/{name}", "MAJOR": str(_TTY_MAJOR[kind]), "MINOR": str(minor),
             "ID_USB_INTERFACE_NUM": f"{interface.number:02x}", "ID_USB_DRIVER": driver, "ID_TYPE": "generic",
             "ID_PATH": f"{identity['ID_PATH']}:1.{interface.number}",
             "DEVLINKS": " ".join(f"/dev/{link}" for link in links)},
        )  # fmt: skip
        gadget.children.append(path)

    def _release(self, gadget: Gadget) -> None:
        """The interfaces go, last first: what hangs below goes before what it hangs on."""
        for line in gadget.by_number.values():
            line.unplug()
        for file in gadget.links:
            file.unlink(missing_ok=True)
        gadget.links.clear()
        for path in reversed(gadget.children):
            self.testbed.remove(path)
        gadget.children.clear()
        self._names -= set(gadget.ttys.values())
        gadget.ttys.clear()

    def _link(self, path: str, target: str) -> None:
        link = self.testbed.real(path)
        with contextlib.suppress(FileExistsError):
            link.symlink_to(os.path.relpath(self.testbed.real(target), link.parent))

    def close(self) -> None:
        for gadget in self.gadgets.values():
            self.vanish(gadget)
        self._attributes.close()
        self.testbed.close()


def _parent(position: str) -> tuple[str, int]:
    """The position of the hub and the number of its port; raises ValueError."""
    head, dot, number = position.rpartition(".")
    if not dot:
        head, _, number = position.partition("-")
        if head != "1":
            raise ValueError(f"no such place on the bus: {position}")
    if not number.isdecimal():
        raise ValueError(f"no such place on the bus: {position}")
    return head, int(number)


class ModemGadget(Gadget):
    """A modem's cable to the bus."""

    usb = True

    def __init__(self, bus: Bus, modem: Modem, listeners: Sequence[Listener], position: str | None) -> None:
        made = [
            PtyLine(bus.testbed.root / "dev/none", modem.settings, bus.watcher, loop=bus.loop, listener=listener)
            for listener in listeners
        ]
        super().__init__(bus, "", {one.interface.number: line for one, line in zip(listeners, made, strict=True)})
        self.modem = modem
        self.lines = made
        bus.take(self, position or bus.free_position())

    @property
    def shape(self) -> Usb:
        own = self.modem.persona.usb
        assert own is not None
        self.serial = own.serial.format(imei=self.modem.imei)
        wanted = self.modem.settings.reboot_as
        if not wanted:
            return own
        if wanted in OTHER_MODES:
            other = OTHER_MODES[wanted]
            self.serial = other.serial.format(imei=self.modem.imei)
            return other
        vid, _, pid = wanted.partition(":")
        return dataclasses.replace(own, vid=vid, pid=pid)

    @property
    def plugged(self) -> bool:
        return self.path is not None

    @property
    def powered_by_host(self) -> bool:
        return self.bus.gives_power(self.position)

    def plug(self) -> None:
        self.bus.appear(self)

    def unplug(self) -> None:
        self.bus.vanish(self)

    def renumber(self) -> None:
        self.bus.renumber(self)

    def exchange(self, other: ModemGadget) -> None:
        bus = self.bus
        self.position, other.position = other.position, self.position
        bus.gadgets[self.position], bus.gadgets[other.position] = self, other

    def let_go(self) -> None:
        for session in self.modem.sessions:
            session.restart()
        self.modem.network.changed()

    def taken(self) -> None:
        self.modem.usb_restarted()

    def powered(self, on: bool) -> None:
        self.modem.set_supply(on)

    def status(self) -> dict[str, object]:
        return {
            "position": self.position, "path": self.path, "id": self.shown.id if self.shown and self.path else None,
            "devnum": self.device_number, "ttys": {str(number): name for number, name in self.ttys.items()},
        }  # fmt: skip


class _Nobody:
    """Whom a plain serial adapter talks to."""

    def __init__(self, interface: Interface) -> None:
        self.interface = interface

    def received(self, data: bytes) -> None:
        """Hears nothing."""

    def opened(self, is_open: bool) -> None:
        """Does not care."""


class Stranger(Gadget):
    """A device that is no modem."""

    def __init__(self, bus: Bus, shape: Usb, position: str | None) -> None:
        lines = {
            interface.number: PtyLine(
                bus.testbed.root / "dev/none", Settings(), bus.watcher, loop=bus.loop, listener=_Nobody(interface)
            )
            for interface in shape.interfaces
            if interface.serial
        }
        super().__init__(bus, "", lines)
        self._shape = shape
        self.serial = shape.serial.format(imei="0123456789ABCDEF")
        bus.take(self, position or bus.free_position())
        bus.appear(self)

    @property
    def shape(self) -> Usb:
        return self._shape

    def powered(self, on: bool) -> None:
        (self.bus.appear if on else self.bus.vanish)(self)

    @classmethod
    def of(cls, bus: Bus, what: str, position: str | None) -> Stranger:
        """By a name of ``STRANGERS`` or a "vid:pid" of ``OTHER_MODES``; raises ValueError."""
        shape = STRANGERS.get(what) or OTHER_MODES.get(what)
        if shape is None:
            raise ValueError(f"what is one of {', '.join((*STRANGERS, *OTHER_MODES))}, not {what}")
        return cls(bus, shape, position)


def on_usb(bus: Bus, position: str | None) -> CableFactory:
    """The cable of a modem on this place of the bus, or on the next free one."""
    return lambda modem, listeners: ModemGadget(bus, modem, listeners, position)
