"""What a modem looks like on USB: its ids and strings, and its interfaces with their roles.

A role says what a serial interface does, whatever the host calls it:

* ``at``: answers AT commands and tells what happens unasked (URCs)
* ``at2``: answers AT commands, tells nothing unasked
* ``ppp``: as ``at2``; meant for dialling
* ``diag``: sends binary noise now and then, never answers
* ``nmea``: streams NMEA 0183 sentences, never answers
* ``log``: takes everything, says nothing
* ``net``, ``storage``, ``data``: no tty at all (a network function, a virtual CD, the data half of a CDC-ACM pair)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

ANSWERING: Final = ("at", "at2", "ppp")
"""Roles that speak AT."""
SERIAL: Final = (*ANSWERING, "diag", "nmea", "log")
"""Roles that have a tty."""

VENDOR: Final = (0xFF, 0x00, 0x00)
"""Class, subclass and protocol of a vendor's own serial interface, as Quectel and SIMCom use it."""
ACM: Final = (0x02, 0x02, 0x01)
"""The control interface of a CDC-ACM pair; it carries the tty (USB CDC PSTN 1.2)."""
ACM_DATA: Final = (0x0A, 0x00, 0x00)
STORAGE: Final = (0x08, 0x06, 0x50)
"""Mass storage, SCSI, bulk only."""
ECM: Final = (0x02, 0x06, 0x00)
RNDIS: Final = (0xE0, 0x01, 0x03)
QMI: Final = (0xFF, 0xFF, 0xFF)


@dataclass(frozen=True, slots=True)
class Interface:
    """One USB interface."""

    number: int
    role: str
    kind: tuple[int, int, int] = VENDOR
    """bInterfaceClass, bInterfaceSubClass, bInterfaceProtocol."""

    @property
    def serial(self) -> bool:
        return self.role in SERIAL

    @property
    def driver(self) -> str:
        """The Linux driver that would take it."""
        if self.kind == ACM:
            return "cdc_acm"
        if self.kind == STORAGE:
            return "usb-storage"
        if self.role == "net":
            return {ECM: "cdc_ether", RNDIS: "rndis_host"}.get(self.kind, "qmi_wwan")
        return "cdc_acm" if self.role == "data" else "option"


@dataclass(frozen=True, slots=True)
class Usb:
    """One USB device."""

    vid: str
    pid: str
    manufacturer: str
    product: str
    interfaces: tuple[Interface, ...] = field(default=())
    serial: str = "{imei}"
    """iSerialNumber, with {imei}; empty for none. Cheap sticks have none or all the same."""

    @property
    def id(self) -> str:
        return f"{self.vid}:{self.pid}"


def vendor(*roles: str, kind: tuple[int, int, int] = VENDOR) -> tuple[Interface, ...]:
    """Interfaces 0, 1, 2 … of these roles, all of one class; a ``net`` gets QMI's.

    An empty role leaves its number out.
    """
    return tuple(Interface(number, role, QMI if role == "net" else kind) for number, role in enumerate(roles) if role)


def acm(*roles: str) -> tuple[Interface, ...]:
    """CDC-ACM pairs: the tty on 0, 2, 4 …, its data interface on the next odd number."""
    pairs = (
        (Interface(2 * place, role, ACM), Interface(2 * place + 1, "data", ACM_DATA))
        for place, role in enumerate(roles)
    )
    return tuple(interface for pair in pairs for interface in pair)


UART: Final = (Interface(0, "at"),)
"""A HAT's serial line: one port, with everything on it."""

_CD: Final = (Interface(0, "storage", STORAGE),)
_ETHERNET: Final = (Interface(0, "net", ECM), Interface(1, "data", ACM_DATA))
_MBIM: Final = (Interface(0, "net", (0x02, 0x0E, 0x00)), Interface(1, "data", ACM_DATA))

OTHER_MODES: Final = {
    usb.id: usb
    for usb in (
        Usb("12d1", "1446", "HUAWEI", "HUAWEI Mobile", (*_CD, Interface(1, "storage", STORAGE)), ""),
        Usb("12d1", "1f01", "HUAWEI_MOBILE", "HUAWEI_MOBILE", _CD, ""),
        Usb("12d1", "14db", "HUAWEI_MOBILE", "HUAWEI_MOBILE", _ETHERNET, ""),
        Usb("12d1", "14dc", "HUAWEI_MOBILE", "HUAWEI_MOBILE", (*_ETHERNET, Interface(2, "storage", STORAGE)), ""),
        Usb("19d2", "2000", "ZTE,Incorporated", "ZTE CDMA Tech", _CD),
        Usb("19d2", "0083", "ZTE,Incorporated", "ZTE WCDMA Technologies MSM", _CD),
        Usb("19d2", "1225", "ZTE,Incorporated", "ZTE WCDMA Technologies MSM", _CD),
        Usb("19d2", "1405", "ZTE,Incorporated", "ZTE Mobile Broadband", _ETHERNET),
        Usb("3566", "2001", "Mobile", "Mobile", _CD, ""),
        Usb("1e0e", "901e", "SIMCOM", "SIM8262E", _MBIM),
        Usb("05c6", "9008", "Qualcomm CDMA Technologies MSM", "QUSB__BULK", (), ""),
        Usb("1199", "0fff", "Sierra Wireless", "Sierra Installer", _CD, ""),
    )
}
"""What a stick may also be: virtual CDs before a mode switch, routers, download mode. None of them has a tty."""

STRANGERS: Final = {
    "storage": OTHER_MODES["12d1:1446"],
    "hilink": OTHER_MODES["12d1:14dc"],
    "download": OTHER_MODES["05c6:9008"],
    "ftdi": Usb("0403", "6001", "FTDI", "FT232R USB UART", (Interface(0, "log", (0xFF, 0xFF, 0xFF)),), "A50285BI"),
    "keyboard": Usb("046d", "c31c", "Logitech", "USB Keyboard", (Interface(0, "net", (0x03, 0x01, 0x01)),), ""),
}
"""USB devices that are no modem and may hang on the same hub. The plain serial adapter has a tty that never answers."""
