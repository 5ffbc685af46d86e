"""What is plugged in, in plain words: for ``modemhub doctor``. PURE but for ``Surroundings.look``.

One ``Finding`` for each USB device that matters: what it is, what we would do with it, which port is for what, and
whatever is in the way, each with its cure. What only an open port can tell (does it answer, is the SIM ready) is
``appliance.modem.examine``'s.

The supply is spoken of only where the machine itself says something: a port's count of over-currents (kernel 4.16), the
Raspberry Pi's low-voltage alarm (hwmon ``rpi_volt``), and what a Raspberry Pi 5 has negotiated with its supply.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.modem.detect.devices import Modem, Problem, is_adapter, judge
from appliance.modem.examine import Finding
from appliance.modem.port import MODEM_MANAGER, holder, modem_manager

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from appliance.modem.detect.devices import Knowledge, Tty, UsbDevice

__all__ = ["Surroundings", "diagnose"]

_SYS: Final = Path("/sys")
_FIRMWARE: Final = Path("/proc/device-tree")

_LOW_VOLTAGE: Final = (
    "the Raspberry Pi has seen its supply fall too low: a modem draws up to 2 A for moments, and restarts when it does "
    "not get them. Use a stronger supply, or a USB hub with its own"
)
_PI5_600_MA: Final = (
    "this Raspberry Pi 5 gives all USB ports together 600 mA, since its supply has not promised 5 A: use one that "
    "does, or a USB hub with its own"
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known beside the buses.

    Attributes:
        closed: why this user may not open a tty, by node; those that it may are not there.
        holders: which program has a tty open, by node.
        modem_manager: ModemManager's process id; None: it does not run.
        named: real paths of the ports in the settings.
        real: the real path of each node.
        over_currents: how often the port of a USB path was cut for its current.
        supply: sentences about the machine's supply.
    """

    closed: Mapping[str, str] = field(default_factory=dict)
    holders: Mapping[str, str] = field(default_factory=dict)
    modem_manager: int | None = None
    named: Collection[str] = ()
    real: Mapping[str, str] = field(default_factory=dict)
    over_currents: Mapping[str, int] = field(default_factory=dict)
    supply: tuple[str, ...] = ()

    @classmethod
    def look(
        cls,
        devices: Sequence[UsbDevice],
        *,
        named: Collection[str] = (),
        sys: Path = _SYS,
        firmware: Path = _FIRMWARE,
    ) -> Surroundings:
        """Look around on this machine. Reads a few hundred small files."""
        nodes = [tty.node for device in devices for tty in device.ttys]
        return cls(
            closed={node: words for node in nodes if (words := _closed(node)) is not None},
            holders={node: who for node in nodes if (who := holder(node)) is not None},
            modem_manager=modem_manager(),
            named={os.path.realpath(port) for port in named},
            real={node: os.path.realpath(node) for node in nodes},
            over_currents={device.path: count for device in devices if (count := _over_currents(device.sys_path))},
            supply=tuple(_supply(sys, firmware)),
        )


def _closed(node: str) -> str | None:
    if os.access(node, os.R_OK | os.W_OK):
        return None
    return "is not there" if not os.path.lexists(node) else os.strerror(errno.EACCES).lower()


def _number(path: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii"))
    return 0


def _over_currents(sys_path: str) -> int:
    return _number(Path(sys_path) / "port" / "over_current_count")


def _supply(sys: Path, firmware: Path) -> list[str]:
    said = []
    for sensor in sorted(sys.glob("class/hwmon/hwmon*")):
        with contextlib.suppress(OSError):
            if (sensor / "name").read_text(encoding="ascii").strip() == "rpi_volt" and _number(
                sensor / "in0_lcrit_alarm"
            ):
                said.append(_LOW_VOLTAGE)
    with contextlib.suppress(OSError):
        power = firmware / "chosen" / "power"
        milliamperes = int.from_bytes((power / "max_current").read_bytes()[:4], "big")
        lifted = (power / "usb_max_current_enable").read_bytes()[:4]
        if 0 < milliamperes < 5000 and not int.from_bytes(lifted, "big"):
            said.append(_PI5_600_MA)
    return said


def diagnose(devices: Sequence[UsbDevice], knowledge: Knowledge, around: Surroundings) -> list[Finding]:
    """Say what each USB device is that matters; nothing is said of those that do not."""
    findings = [finding for device in devices if (finding := _device(device, knowledge, around)) is not None]
    if any(device.ttys or knowledge.role(device.id) is not None for device in devices):
        findings += [Finding("supply", fine=False, words=f"{sentence}.") for sentence in around.supply]
    return findings


def _device(device: UsbDevice, knowledge: Knowledge, around: Surroundings) -> Finding | None:
    name = f"usb {device.path}"
    if any(around.real.get(tty.node, tty.node) in around.named for tty in device.ttys):
        return Finding(
            name, fine=True, words=f"{device.title} has a port in the settings: it is used as it says there."
        )
    match judge(device, knowledge):
        case Modem():
            return _modem(name, device, knowledge, around)
        case Problem(words):
            return Finding(name, fine=False, words=f"{device.title} {words}.")
        case _ if is_adapter(device):
            nodes = ", ".join(tty.node for tty in device.ttys)
            words = (
                f"{device.title} is a serial adapter ({nodes}) and may have anything at its other end: it is left "
                "alone. If there is a modem at it, name the port in the settings under [[modems]]."
            )
            return Finding(name, fine=True, words=words)
        case _ if device.ttys:
            nodes = ", ".join(tty.node for tty in device.ttys)
            words = (
                f"{device.title} has a serial port ({nodes}), but nothing says that it is a modem: it is left alone. "
                "If it is one, name the port in the settings under [[modems]]."
            )
            return Finding(name, fine=True, words=words)
    return None


def _modem(name: str, device: UsbDevice, knowledge: Knowledge, around: Surroundings) -> Finding:
    families = knowledge.families(device.id)
    speaking = knowledge.at_interfaces(device.id, device.classes)
    said = [
        f"{device.title} is a modem: by its USB id of the "
        f"{'family' if len(families) == 1 else 'families'} {', '.join(families)}."
        if families
        else f"{device.title} is a modem, of a USB id that no profile knows."
    ]
    ports = "; ".join(_port(tty, speaking, around) for tty in device.ttys)
    said.append(f"Ports: {ports}.")
    if not any(tty.number in speaking for tty in device.ttys):
        said.append("Which one speaks AT is not known: all are asked.")
    wrong = []
    closed = [tty.node for tty in device.ttys if tty.node in around.closed]
    if closed:
        wrong.append(
            f"This user may not open {', '.join(closed)} ({around.closed[closed[0]]}): it must be in the group dialout."
        )
    if around.modem_manager is not None and not device.modem_manager_ignored:
        wrong.append(f"ModemManager runs (pid {around.modem_manager}). {MODEM_MANAGER}.")
    if count := around.over_currents.get(device.path):
        wrong.append(
            f"Its USB port was cut off {count} times for too much current: give it a USB hub with its own supply."
        )
    return Finding(name, fine=not wrong, words=" ".join((*said, *wrong)))


def _port(tty: Tty, speaking: Sequence[int], around: Surroundings) -> str:
    notes = [f"interface {tty.number}", tty.usb_class]
    if tty.number in speaking:
        notes.append("AT, preferred" if tty.number == speaking[0] else "AT")
    if tty.node in around.holders:
        notes.append(f"in use by {around.holders[tty.node]}")
    return f"{tty.node} ({', '.join(notes)})"
