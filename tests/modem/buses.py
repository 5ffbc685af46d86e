"""USB buses to test on: records that are easily made, a source that is a list, a host that keeps what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from appliance.modem.detect.devices import Interface, Knowledge, Tty, UsbDevice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from appliance.modem.detect import UsbPlace
    from appliance.modem.profile import Role

EC25 = "2c7c:0125"
STORAGE = "12d1:1446"
ROUTER = "12d1:14db"
UNKNOWN = "abcd:0001"


def device(  # a modem as it comes: four ttys of the option driver
    path: str = "1-1.2",
    usb_id: str = EC25,
    *,
    ttys: Sequence[int] = (0, 1, 2, 3),
    first: int = 0,
    usb_class: str = "ff/00/00",
    driver: str | None = "option",
    node: str = "/dev/bus/usb/001/004",
    more: Sequence[Interface] = (),
    tagged: bool = False,
    ignored: bool = True,
) -> UsbDevice:
    """A USB device; ``first`` is the number of its first ttyUSB."""
    return UsbDevice(
        path=path,
        sys_path=f"/sys/devices/usb1/{path}",
        id=usb_id,
        node=node,
        manufacturer="Quectel",
        product="EC25-E",
        interfaces=(*(Interface(number, usb_class, driver) for number in ttys), *more),
        ttys=tuple(Tty(f"/dev/ttyUSB{first + at}", number, usb_class, driver) for at, number in enumerate(ttys)),
        tagged=tagged,
        modem_manager_ignored=ignored,
    )


def bare(path: str = "1-1.2", usb_id: str = STORAGE, *, usb_class: str = "08/06/50") -> UsbDevice:
    """A device without ttys."""
    return replace(device(path, usb_id, ttys=()), interfaces=(Interface(0, usb_class, "usb-storage"),))


def knowledge(at: Sequence[int] = (2, 3)) -> Knowledge:
    """Profiles that know an EC25, a stick's CD and a HiLink stick."""

    def role(usb_id: str) -> Role | None:
        known: Mapping[str, Role] = {EC25: "modem", STORAGE: "storage", ROUTER: "router"}
        return known.get(usb_id)

    def at_interfaces(usb_id: str, classes: Mapping[int, str]) -> tuple[int, ...]:
        return tuple(number for number in at if number in classes) if usb_id == EC25 else ()

    return Knowledge(role, at_interfaces, lambda usb_id: ("quectel-ec25",) if usb_id == EC25 else ())


@dataclass
class Buses:
    """A source of snapshots: what is plugged in is a dictionary."""

    there: dict[str, UsbDevice] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    deaf: bool = False
    """Changes ring no bell."""
    ring: Callable[[], None] | None = None

    def watch(self, ring: Callable[[], None]) -> None:
        self.calls.append("watch")
        self.ring = ring

    def snapshot(self) -> Sequence[UsbDevice]:
        self.calls.append("snapshot")
        return tuple(self.there.values())

    def close(self) -> None:
        self.calls.append("close")

    def plug(self, *devices: UsbDevice) -> None:
        self.there.update({each.path: each for each in devices})
        if self.ring is not None and not self.deaf:
            self.ring()

    def unplug(self, path: str) -> None:
        del self.there[path]
        if self.ring is not None and not self.deaf:
            self.ring()


@dataclass
class Listener:
    """A host of the detector."""

    told: list[str] = field(default_factory=list)
    places: list[UsbPlace] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)

    def appeared(self, place: UsbPlace) -> None:
        self.told.append(f"appeared {place.name}")
        self.places.append(place)

    def left(self, place: UsbPlace) -> None:
        self.told.append(f"left {place.name}")
        self.places.remove(place)

    def remark(self, path: str, words: str) -> None:
        self.told.append(f"remark {path}")
        self.remarks[path] = words

    def remark_gone(self, path: str) -> None:
        self.told.append(f"remark_gone {path}")
        del self.remarks[path]
