"""A USB bus without hardware, for the udev part: umockdev keeps a sysfs of its own and sends uevents as udev would.

Run as a script, in a process of its own (the library works by ``LD_PRELOAD``): it plugs in what it is told on standard
input, one JSON command a line, and answers each with a line. ``LIBRARY`` is None where umockdev is not installed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import sys
from pathlib import Path
from typing import Any

PRELOAD = "libumockdev-preload.so.0"
LIBRARY = ctypes.util.find_library("umockdev")


class Testbed:
    """The library, as far as it is needed."""

    def __init__(self) -> None:
        library = ctypes.CDLL("libumockdev.so.0")
        library.umockdev_testbed_new.restype = ctypes.c_void_p
        library.umockdev_testbed_get_root_dir.restype = ctypes.c_char_p
        library.umockdev_testbed_get_root_dir.argtypes = [ctypes.c_void_p]
        library.umockdev_testbed_add_devicev.restype = ctypes.c_char_p
        library.umockdev_testbed_add_devicev.argtypes = [
            ctypes.c_void_p,
            *([ctypes.c_char_p] * 3),
            *([ctypes.c_void_p] * 2),
        ]
        library.umockdev_testbed_uevent.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
        library.umockdev_testbed_remove_device.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._library = library
        self._bed = library.umockdev_testbed_new()
        self.root = library.umockdev_testbed_get_root_dir(self._bed).decode()
        self._ttys: dict[str, list[tuple[str, str]]] = {}

    def add(
        self, subsystem: str, name: str, parent: str | None, attributes: dict[str, str], properties: dict[str, str]
    ) -> str:
        """Add a device; an "add" event is sent."""

        def vector(pairs: dict[str, str]) -> Any:
            texts = [text.encode() for pair in pairs.items() for text in pair]
            return ctypes.cast((ctypes.c_char_p * (len(texts) + 1))(*texts, None), ctypes.c_void_p)

        path = self._library.umockdev_testbed_add_devicev(
            self._bed,
            subsystem.encode(),
            name.encode(),
            None if parent is None else parent.encode(),
            vector(attributes),
            vector(properties),
        )
        assert path is not None
        return str(path.decode())

    def plug(self, path: str, usb_id: str, *, first: int, ptys: list[str], properties: dict[str, str]) -> None:
        """Plug in a modem with one tty of the option driver for each pty."""
        vendor, product = usb_id.split(":")
        device = self.add(
            "usb",
            path,
            None,
            {"idVendor": vendor, "idProduct": product, "bDeviceClass": "00"},
            {"DEVTYPE": "usb_device", "DEVNAME": f"/dev/bus/usb/001/{first + 2:03}"} | properties,
        )
        for number, pty in enumerate(ptys):
            interface = self.add(
                "usb",
                f"{path}:1.{number}",
                device,
                {
                    "bInterfaceNumber": f"{number:02x}",
                    "bInterfaceClass": "ff",
                    "bInterfaceSubClass": "00",
                    "bInterfaceProtocol": "00",
                },
                {"DEVTYPE": "usb_interface", "DRIVER": "option"},
            )
            node = f"ttyUSB{first + number}"
            tty = self.add("tty", node, interface, {"dev": f"188:{first + number}"}, {"DEVNAME": f"/dev/{node}"})
            self._ttys.setdefault(device, []).append((tty, interface))
            link = Path(self.root, "dev", node)
            link.unlink(missing_ok=True)
            link.symlink_to(pty)

    def unplug(self, path: str) -> None:
        """Take it out: first its ttys, then its interfaces, then itself, each with its event."""
        device = f"/sys/devices/{path}"
        gone = [each for pair in self._ttys.pop(device, []) for each in pair]
        for each in [*gone, device]:
            self._library.umockdev_testbed_uevent(self._bed, each.encode(), b"remove")
            self._library.umockdev_testbed_remove_device(self._bed, each.encode())


def main() -> None:
    bed = Testbed()
    print(bed.root, flush=True)  # noqa: T201
    for text in sys.stdin:
        command: dict[str, Any] = json.loads(text)
        if "unplug" in command:
            bed.unplug(command["unplug"])
        else:
            bed.plug(command.pop("plug"), **command)
        print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
