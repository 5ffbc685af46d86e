"""The USB buses through udev (pyudev on libudev): a snapshot, and a bell that rings when something changes.

Nothing here waits: attributes for which the kernel takes a device's lock (``manufacturer``, ``serial``, ``bMaxPower``)
are not read, since a wedged device holds it for as long as it likes; what a device calls itself is in udev's database
(``ID_VENDOR_ENC``, ``ID_MODEL_ENC``, ``ID_SERIAL_SHORT``), and a driver's name is in the uevent (``DRIVER``).

The monitor hears udev's own events, sent after its rules have run: then a node has its group and its properties.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any, Final

from appliance.modem.detect.devices import Interface, Tty, UsbDevice

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Udev"]

_TAG: Final = "ID_MODEMHUB"
"""Set by our own rules (``udev/``) on devices that are modems though no profile knows their id."""

_BUFFER: Final = 1024 * 1024
"""Octets of the netlink socket: a hub with ten modems that is plugged in sends some 300 events of 1 KiB."""

_ESCAPED: Final = re.compile(r"\\x([0-9a-fA-F]{2})")


class Udev:
    """A ``Source`` of the detector."""

    def __init__(self) -> None:
        """Touch nothing yet but the library."""
        import pyudev  # noqa: PLC0415 - a hub whose ports are all named needs no udev

        self._context = pyudev.Context()
        self._pyudev = pyudev
        self._monitor: Any = None

    def watch(self, ring: Callable[[], None]) -> None:
        """Call ``ring`` from the running loop after every change from now on, once for many, until ``close``.

        A socket that overflowed (ENOBUFS) has lost events: that is a change, too.
        """
        monitor = self._pyudev.Monitor.from_netlink(self._context, source="udev")
        monitor.filter_by("tty")
        monitor.filter_by("usb")
        with contextlib.suppress(OSError):  # needs CAP_NET_ADMIN; with the usual 208 KiB an overflow is survived too
            monitor.set_receive_buffer_size(_BUFFER)
        monitor.start()
        self._monitor = monitor

        def readable() -> None:
            try:
                while monitor.poll(timeout=0) is not None:
                    pass
            except OSError:  # ENOBUFS; the next read goes on
                pass
            ring()

        asyncio.get_running_loop().add_reader(monitor.fileno(), readable)

    def close(self) -> None:
        """Stop watching."""
        if self._monitor is not None:
            asyncio.get_running_loop().remove_reader(self._monitor.fileno())
            self._monitor = None

    def snapshot(self) -> tuple[UsbDevice, ...]:
        """Every USB device but hubs that is there now, by path; what vanishes while it is read is left out."""
        devices: dict[str, Any] = {}
        interfaces: dict[str, list[Interface]] = {}
        for device in self._context.list_devices(subsystem="usb"):
            try:
                match device.properties.get("DEVTYPE"):
                    case "usb_device" if _attribute(device, "bDeviceClass") != "09":
                        devices[device.sys_path] = device
                    case "usb_interface":
                        interfaces.setdefault(_parent(device.sys_path), []).append(_interface(device))
            except (self._pyudev.DeviceNotFoundError, OSError, ValueError):
                continue
        ttys: dict[str, list[Tty]] = {}
        told: dict[str, list[bool]] = {}
        for device in self._context.list_devices(subsystem="tty"):
            try:
                home = device.find_parent("usb", "usb_interface")
                if home is not None and device.device_node is not None:
                    of = _interface(home)
                    owner = _parent(home.sys_path)
                    ttys.setdefault(owner, []).append(Tty(device.device_node, of.number, of.usb_class, of.driver))
                    told.setdefault(owner, []).append(_is_set(device, "ID_MM_PORT_IGNORE"))
            except (self._pyudev.DeviceNotFoundError, OSError, ValueError):
                continue
        found = []
        for sys_path, device in devices.items():
            try:
                found.append(
                    _record(
                        device,
                        tuple(sorted(interfaces.get(sys_path, ()), key=lambda each: each.number)),
                        tuple(sorted(ttys.get(sys_path, ()), key=lambda each: (each.number, each.node))),
                        ignored=_is_set(device, "ID_MM_DEVICE_IGNORE") or all(told.get(sys_path, (False,))),
                    )
                )
            except (self._pyudev.DeviceNotFoundError, OSError, ValueError):
                continue
        return tuple(sorted(found, key=lambda device: device.path))


def _is_set(device: Any, name: str) -> bool:
    return str(device.properties.get(name, "")) in {"1", "yes", "true"}


def _parent(sys_path: str) -> str:
    return sys_path.rpartition("/")[0]


def _attribute(device: Any, name: str) -> str:
    value = device.attributes.get(name)
    return value.decode("ascii", "replace").strip() if isinstance(value, bytes) else ""


def _interface(device: Any) -> Interface:
    number = int(_attribute(device, "bInterfaceNumber"), 16)
    names = ("bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol")
    usb_class = "/".join(_attribute(device, name).lower() for name in names)
    return Interface(number, usb_class, device.properties.get("DRIVER") or device.driver)


def _name(device: Any, encoded: str, plain: str) -> str:
    """A name out of udev's database, in which a blank is written as a backslash and ``x20``."""
    given = device.properties.get(encoded)
    if given is None:
        return str(device.properties.get(plain, "")).replace("_", " ").strip()
    octets = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), str(given)).encode("latin-1", "replace")
    text = octets.decode("utf-8", "replace")
    return "".join(character for character in text if character.isprintable()).strip()[:64]


def _record(device: Any, interfaces: tuple[Interface, ...], ttys: tuple[Tty, ...], *, ignored: bool) -> UsbDevice:
    return UsbDevice(
        path=device.sys_name,
        sys_path=device.sys_path,
        id=f"{_attribute(device, 'idVendor')}:{_attribute(device, 'idProduct')}".lower(),
        node=device.device_node or "",
        manufacturer=_name(device, "ID_VENDOR_ENC", "ID_VENDOR"),
        product=_name(device, "ID_MODEL_ENC", "ID_MODEL"),
        serial=str(device.properties.get("ID_SERIAL_SHORT", "")),
        interfaces=interfaces,
        ttys=ttys,
        tagged=_is_set(device, _TAG),
        modem_manager_ignored=ignored,
    )
