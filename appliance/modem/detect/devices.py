"""What is on the USB buses, as records, and what each thing is to us. PURE: no clock, no I/O.

Records
    A ``UsbDevice`` is one device with its interfaces and ttys, as udev showed it at one moment. Two records are equal
    exactly if nothing has changed; a device that was reset has another ``node`` and so is another record.

What it is to us (``judge``)
    ====================================  ========================================================================
    a modem                               its id is a modem's in a profile, or our udev rules tagged it
                                          (``ID_MODEMHUB=1``), or it is unknown and has a tty of a modem's driver
    a remark                              it is plugged in, belongs to modems, and cannot be used as it is: storage
                                          mode, a router of its own, no driver took it
    nothing                               all else, and every device of which the settings name a port
    ====================================  ========================================================================

    A tty goes before an id: what has AT ports is used as a modem, whatever mode its id is known for.

    A lone FTDI, CP210x, PL2303 or CH341 adapter may drive anything and is never touched; neither is CDC-ACM of an
    unknown id with one tty, which is what an Arduino, a Zigbee stick or a GPS receiver looks like (opening it would
    reset the one and confuse the other). Modems with CDC-ACM have several, each said to speak V.250 (CDC PSTN §3.5,
    protocol 1). Whoever has another one names its port in the settings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from appliance.modem.profile import at_interfaces, for_usb, role_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from appliance.modem.profile import Profile, Role

__all__ = [
    "Interface",
    "Judgement",
    "Knowledge",
    "Modem",
    "Nothing",
    "Problem",
    "Tty",
    "UsbDevice",
    "is_adapter",
    "judge",
]

_MODEM_DRIVERS: Final = frozenset({"option", "qcserial", "sierra", "ipw", "hso"})
"""Kernel drivers that bind to nothing but modems."""

_ADAPTER_DRIVERS: Final = frozenset({"ftdi_sio", "cp210x", "pl2303", "ch341", "ch341-uart", "mct_u232"})
"""Kernel drivers of adapters that may have anything at their other end."""

_ACM: Final = re.compile("02/02/0[1-6]")
"""Abstract control model with an AT command set (CDC PSTN §3.3.1 and table 17 of CDC 1.2)."""

_STORAGE_CLASS: Final = "08/"


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a USB device: its number, its class as ``ff/00/00``, and the driver that took it."""

    number: int
    usb_class: str
    driver: str | None


@dataclass(frozen=True, slots=True)
class Tty:
    """One tty of a USB device: its node, and the interface that it belongs to."""

    node: str
    number: int
    usb_class: str
    driver: str | None


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """One USB device as it was at one moment.

    Attributes:
        path: where it is plugged in, as ``1-1.2`` (bus, port, port of the hub there).
        sys_path: its folder in sysfs.
        id: ``2c7c:0125``, lower case.
        node: ``/dev/bus/usb/001/005``; another one after each enumeration. Empty: not known.
        manufacturer: what it says of itself; empty where it says nothing.
        product: the same.
        serial: the same.
        interfaces: by number.
        ttys: by interface number.
        tagged: our udev rules say that it is a modem.
        modem_manager_ignored: ModemManager was told to keep away from it.
    """

    path: str
    sys_path: str
    id: str
    node: str = ""
    manufacturer: str = ""
    product: str = ""
    serial: str = ""
    interfaces: tuple[Interface, ...] = ()
    ttys: tuple[Tty, ...] = ()
    tagged: bool = False
    modem_manager_ignored: bool = False

    @property
    def title(self) -> str:
        """What people call it: ``Quectel EC25-E (2c7c:0125)``."""
        return f"{' '.join(filter(None, (self.manufacturer, self.product))) or 'a USB device'} ({self.id})"

    @property
    def classes(self) -> dict[int, str]:
        """The class of each interface with a tty, by number."""
        return {tty.number: tty.usb_class for tty in self.ttys}


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the profiles know of USB ids.

    Attributes:
        role: which mode a device is in by its id; None: unknown.
        at_interfaces: which interfaces of an id speak AT, the preferred first, given the class of each by number;
            empty: unknown, each is to be asked.
        families: the names of the families that have an id.
    """

    role: Callable[[str], Role | None]
    at_interfaces: Callable[[str, Mapping[int, str]], tuple[int, ...]]
    families: Callable[[str], tuple[str, ...]]

    @classmethod
    def of(cls, profiles: Sequence[Profile]) -> Knowledge:
        """The knowledge of these profiles."""
        return cls(
            role=partial(role_of, profiles),
            at_interfaces=partial(at_interfaces, profiles),
            families=lambda usb_id: tuple(profile.name for profile in for_usb(profiles, usb_id)),
        )


@dataclass(frozen=True, slots=True)
class Modem:
    """It is to be used."""


@dataclass(frozen=True, slots=True)
class Problem:
    """It belongs to modems and cannot be used.

    Attributes:
        words: why, and what to do, after "it".
        passing: it may pass by itself in half a minute, and is to be told only then.
    """

    words: str
    passing: bool


@dataclass(frozen=True, slots=True)
class Nothing:
    """It is no business of ours."""


Judgement = Modem | Problem | Nothing

STORAGE: Final = Problem(
    "is in storage mode: it shows itself as a CD drive. usb-modeswitch switches it to a modem; if it stays like this, "
    "install the packages usb-modeswitch and usb-modeswitch-data and plug it in again",
    passing=True,
)
ROUTER: Final = Problem(
    "works as a network card of its own (HiLink or router mode) and has no AT port, so nothing can be sent by it. Get "
    "one with firmware for stick (serial) mode, or put that on this one",
    passing=False,
)
NO_DRIVER: Final = Problem(
    "is a modem, but the kernel gave it no serial port: no driver has bound. Load it by hand (modprobe option; "
    "echo {id} > /sys/bus/usb-serial/drivers/option1/new_id) and tell us its id",
    passing=True,
)


def judge(
    device: UsbDevice, knowledge: Knowledge, *, named: Collection[str] = (), real: Callable[[str], str] = str
) -> Judgement:
    """What a device is to us.

    Args:
        device: the record.
        knowledge: what the profiles know.
        named: real paths of the ports that the settings name: their devices are not ours to find.
        real: follows a tty's node to its real path.
    """
    if any(real(tty.node) in named for tty in device.ttys):
        return Nothing()
    role = knowledge.role(device.id)
    known = role is not None or device.tagged
    if device.ttys:
        return Modem() if known or _looks_like_a_modem(device) else Nothing()
    if role == "storage":
        return STORAGE
    if role == "router":
        return ROUTER
    if known:
        if any(each.usb_class.startswith(_STORAGE_CLASS) for each in device.interfaces) and len(device.interfaces) == 1:
            return STORAGE
        return Problem(NO_DRIVER.words.format(id=device.id.replace(":", " ")), passing=True)
    return Nothing()


def _looks_like_a_modem(device: UsbDevice) -> bool:
    """Whether an unknown device may be spoken to: see the top of this module."""
    speaks_v250 = [tty for tty in device.ttys if tty.driver == "cdc_acm" and _ACM.fullmatch(tty.usb_class)]
    return any(tty.driver in _MODEM_DRIVERS for tty in device.ttys) or len(speaks_v250) >= 2


def is_adapter(device: UsbDevice) -> bool:
    """Whether it is a plain serial adapter, with anything at its other end."""
    return bool(device.ttys) and all(tty.driver in _ADAPTER_DRIVERS for tty in device.ttys)
