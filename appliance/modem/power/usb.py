"""A modem revived through the bus that it hangs on: rungs 5 and 6 of the ladder, by sysfs.

Rung 5
    ``authorized`` off and on takes the device's drivers away and enumerates its configuration anew; unbinding and
    binding it from the driver ``usb`` goes through its whole initialisation again. Neither touches another device.

Rung 6
    The hub port's ``disable`` (kernel 6.0) takes the supply away, where the hub can switch it. Which hub can is said by
    its descriptor (USB 2.0 §11.23.2.1, wHubCharacteristics bits 0 and 1: 00 all ports together, 01 each for itself, 1x
    not at all), except that the Raspberry Pi's own hubs say 01 and switch in gangs (``_gang``). Where others would lose
    their supply too, it is cut only if ``may_cut`` says that every one of them is ours and idle, and never for one that
    is not on the bus any more, which is most often one that was pulled out; never where a mounted disk would go.
    ``authorized`` is switched off before, so that the drivers let go first. Both halves of a USB 3 port are switched,
    or the supply would stay.

Whatever happens, ``authorized`` is on and every port enabled at the end: the acts are shielded from cancellation and
each write is bounded, since one to a wedged bus may block in the kernel for ever.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import logging
import os
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.errors import PowerFailed
from appliance.modem.place import Remedy
from appliance.modem.port import in_thread
from appliance.modem.power.span import Turn, to_its_end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

__all__ = ["UsbPower", "hub_characteristics", "usb_path", "write_sysfs"]

log = logging.getLogger(__name__)

WRITE_TIMEOUT: Final = 8.0
"""Seconds. Taking a device's drivers away takes up to 5 s where its control transfers time out."""

OFF_FOR: Final = 2.0
"""Seconds without authorisation or driver: a modem notices the end of its configuration in milliseconds."""

DARK_FOR: Final = 4.0
"""Seconds without supply: capacitors of a stick hold it up for one or two."""

BUS_PATIENCE: Final = 20.0
"""Seconds until the modem is back on the bus after rung 5: TOBY-L2 takes so long to show its ttys."""

SUPPLY_PATIENCE: Final = 45.0
"""Seconds until it answers after its supply was cut: its start (25 s) and the bus's."""

_TOGETHER, _EACH = 0, 1
"""wHubCharacteristics, bits 0 and 1."""

_SYS: Final = Path("/sys")
_DEV: Final = Path("/dev")
_MOUNTS: Final = Path("/proc/self/mountinfo")
_MODEL: Final = Path("/proc/device-tree/model")

_DEVICE: Final = re.compile(r"\d+-\d+(\.\d+)*")
_ROOT_HUB: Final = re.compile(r"usb\d+")


async def write_sysfs(path: Path, text: str, *, within: float = WRITE_TIMEOUT) -> None:
    """Write an attribute.

    Raises:
        PowerFailed: it is not there, this user may not, the kernel refuses, or it does not return in time.
    """

    def write() -> None:
        file = os.open(path, os.O_WRONLY)
        try:
            os.write(file, text.encode("ascii"))
        finally:
            os.close(file)

    try:
        await in_thread(write, within, f"write {path}")
    except TimeoutError:
        raise PowerFailed(f"{path}: the kernel does not return from writing it: the bus is wedged") from None
    except FileNotFoundError:
        raise PowerFailed(f"{path}: is not there (any more)") from None
    except PermissionError:
        raise PowerFailed(
            f"{path}: this user may not write it: modemhub's udev rules give it to the service's group; are they "
            "installed?"
        ) from None
    except OSError as error:
        raise PowerFailed(f"{path}: {error.strerror}") from error


_CONTROL: Final = struct.Struct("@BBHHHIP")
"""struct usbdevfs_ctrltransfer of linux/usbdevice_fs.h."""

_USBDEVFS_CONTROL: Final = (3 << 30) | (_CONTROL.size << 16) | (ord("U") << 8)
"""_IOWR('U', 0, struct usbdevfs_ctrltransfer)."""


def hub_characteristics(node: Path, superspeed: bool) -> int:  # noqa: FBT001 - a plain function to be replaced by another
    """Ask a hub for wHubCharacteristics, through its node below /dev/bus/usb. Blocks.

    Raises:
        OSError: it does not answer, or this user may not ask.
    """
    answer = array.array("B", bytes(16))
    address, length = answer.buffer_info()
    request = bytearray(_CONTROL.pack(0xA0, 6, 0x2A00 if superspeed else 0x2900, 0, length, 2000, address))
    file = os.open(node, os.O_RDWR)
    try:
        fcntl.ioctl(file, _USBDEVFS_CONTROL, request)
    finally:
        os.close(file)
    return int.from_bytes(answer[3:5].tobytes(), "little")


def usb_path(node: str, *, sys: Path = _SYS) -> str | None:
    """The USB path that a tty belongs to, as ``1-1.2``; None: it is not there, or no USB device's."""
    home = sys / "class" / "tty" / Path(os.path.realpath(node)).name / "device"
    with contextlib.suppress(OSError):
        return next(
            (part for part in reversed(home.resolve(strict=True).parts) if _DEVICE.fullmatch(part)),
            None,
        )
    return None


def _never(_: Collection[str]) -> bool:
    return False


class UsbPower:
    """What can be done through the buses of this machine."""

    def __init__(
        self,
        *,
        may_cut: Callable[[Collection[str]], bool] = _never,
        sys: Path = _SYS,
        dev: Path = _DEV,
        mounts: Path = _MOUNTS,
        model: Path = _MODEL,
        characteristics: Callable[[Path, bool], int] = hub_characteristics,
        write: Callable[[Path, str], Awaitable[None]] = write_sysfs,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Touch nothing.

        Args:
            may_cut: whether all these USB paths are modems of ours, none of which is doing anything now.
            sys: sysfs.
            dev: devtmpfs.
            mounts: the mount table, as /proc/self/mountinfo.
            model: the file that names the board.
            characteristics: asks a hub's node, given whether it is a USB 3 hub; may block and raise OSError.
            write: writes a file of sysfs.
            sleep: waits.
        """
        self._may_cut = may_cut
        self._devices = sys / "bus" / "usb" / "devices"
        self._driver = sys / "bus" / "usb" / "drivers" / "usb"
        self._sys = sys
        self._dev = dev
        self._mounts = mounts
        self._model = model
        self._characteristics = characteristics
        self._write = write
        self._sleep = sleep
        self._turns: dict[str, Turn] = {}
        self._supply = Turn("USB supply")

    def remedies(self, path: str) -> Sequence[Remedy]:
        """What can be done to the device at a USB path, the cheapest first; it need not be there now."""

        async def reauthorise() -> None:
            await self._alone(path, "authorized", self._reauthorise)

        async def rebind() -> None:
            await self._alone(path, "driver", self._rebind)

        async def cut() -> None:
            with self._supply.taken(f"port of {path}"):
                await self._alone(path, "port power", self._cut)

        remedies = [
            Remedy(5, "USB: authorized off and on", BUS_PATIENCE, reauthorise),
            Remedy(5, "USB: driver unbound and bound", BUS_PATIENCE, rebind),
        ]
        if self._switch(path).exists():
            remedies.append(Remedy(6, "USB: port power off and on", SUPPLY_PATIENCE, cut))
        return tuple(remedies)

    async def _alone(self, path: str, what: str, act: Callable[[str], Awaitable[None]]) -> None:
        with self._turns.setdefault(path, Turn(f"usb {path}")).taken(what):
            await act(path)

    # ------------------------------------------------------------------------------------------ rung 5

    async def _reauthorise(self, path: str) -> None:
        self._check_there(path)
        await to_its_end(
            self._off_and_on(self._devices / path / "authorized", "0", self._devices / path / "authorized", "1")
        )

    async def _rebind(self, path: str) -> None:
        self._check_there(path)
        await to_its_end(self._off_and_on(self._driver / "unbind", path, self._driver / "bind", path))

    def _check_there(self, path: str) -> None:
        if not (self._devices / path / "authorized").exists():
            raise PowerFailed(f"usb {path}: is not on the bus any more")

    async def _off_and_on(self, off: Path, off_text: str, on: Path, on_text: str) -> None:
        try:
            await self._write(off, off_text)
            await self._sleep(OFF_FOR)
        except BaseException:
            with contextlib.suppress(PowerFailed):
                await self._write(on, on_text)
            raise
        await self._write(on, on_text)

    # ------------------------------------------------------------------------------------------ rung 6

    async def _cut(self, path: str) -> None:
        hub = _hub_of(path)
        gang = self._gang(hub)
        if gang is None:
            switching = await self._switching(hub)
            if switching > _EACH:
                raise PowerFailed(f"usb {path}: its hub ({hub}) cannot switch the supply of its ports")
            if switching == _TOGETHER:
                gang = (hub,)
        if gang is None:
            switches = [self._switch(path), *self._peer(path)]
            dark = [f"{path}", *self._below(path)]
            others = []
        else:
            switches = [switch for member in gang for switch in self._switches(member)]
            dark = sorted({name for member in gang for name in self._below(member)} | {path})
            others = [name for name in dark if name != path and not self._is_hub(name)]
        if disk := self._mounted(dark):
            raise PowerFailed(f"usb {path}: the mounted disk {disk} would lose its supply, too")
        if others and not (self._devices / path).exists():
            raise PowerFailed(
                f"usb {path}: nothing is on the bus there, and {', '.join(others)} would lose the supply for it: it is "
                "most likely unplugged"
            )
        if others and not self._may_cut(others):
            raise PowerFailed(
                f"usb {path}: its hub switches all ports together, and {', '.join(others)} would lose the supply, too. "
                "A hub that switches each port for itself could help"
            )
        log.warning("usb %s: supply off for %g s", path, DARK_FOR)
        await to_its_end(self._dark(path, switches))

    async def _dark(self, path: str, switches: Sequence[Path]) -> None:
        authorized = self._devices / path / "authorized"
        try:
            if authorized.exists():
                with contextlib.suppress(PowerFailed):  # it is wedged, that is why we are here
                    await self._write(authorized, "0")
            for switch in switches:
                await self._write(switch, "1")
            await self._sleep(DARK_FOR)
        finally:
            failed = None
            for switch in switches:
                try:
                    await self._write(switch, "0")
                except PowerFailed as error:
                    failed = error
            if authorized.exists():
                with contextlib.suppress(PowerFailed):  # a device that is enumerated anew is authorised by itself
                    await self._write(authorized, "1")
            if failed is not None:
                raise failed

    def _gang(self, hub: str) -> tuple[str, ...] | None:
        """The hubs whose ports a Raspberry Pi switches together with this one's; None: it is not one of its own.

        Source: uhubctl's README on the boards. A Pi 5 has one gang for all its root hubs; a 4B one for the hub behind
        its VL805 and the USB 3 root hub; a 3B+ one for its two hubs; the others one for the hub on the board.
        """
        try:
            model = self._model.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        if "Raspberry Pi" not in model:
            return None
        roots = tuple(sorted(entry.name for entry in self._devices.glob("usb*") if _ROOT_HUB.fullmatch(entry.name)))
        if re.search(r"Pi 5|Pi 500|Module 5", model):
            gang = roots
        elif re.search(r"Pi 4 |Pi 400", model):
            gang = ("1-1", "usb2")
        elif "3 Model B Plus" in model:
            gang = ("1-1", "1-1.1")
        elif re.search(r"Model B Plus|2 Model B|3 Model B", model):
            gang = ("1-1",)
        else:
            gang = ()
        if hub in gang:
            return gang
        return (hub,) if hub in roots else None

    async def _switching(self, hub: str) -> int:
        """Bits 0 and 1 of wHubCharacteristics."""
        home = self._devices / hub
        try:
            bus, device = (int((home / name).read_text(encoding="ascii")) for name in ("busnum", "devnum"))
            superspeed = float((home / "speed").read_text(encoding="ascii")) >= 5000
            node = self._dev / "bus" / "usb" / f"{bus:03}" / f"{device:03}"
            asked = await in_thread(
                lambda: self._characteristics(node, superspeed), WRITE_TIMEOUT, f"descriptor of {hub}"
            )
        except TimeoutError:
            raise PowerFailed(f"usb {hub}: the hub does not answer") from None
        except (OSError, ValueError) as error:
            raise PowerFailed(f"usb {hub}: the hub does not say what it can switch: {error}") from error
        return asked & 3

    def _switch(self, path: str) -> Path:
        """The file that disables the port of a USB path."""
        hub = _hub_of(path)
        number = re.split("[-.]", path)[-1]
        bus = hub.removeprefix("usb") + "-0" if _ROOT_HUB.fullmatch(hub) else hub
        name = f"{hub}-port{number}/disable"
        return next(iter(self._devices.glob(f"{bus}:*/{name}")), self._devices / f"{bus}:1.0" / name)

    def _switches(self, hub: str) -> list[Path]:
        """The files that disable the ports of a hub."""
        bus = hub.removeprefix("usb") + "-0" if _ROOT_HUB.fullmatch(hub) else hub
        return sorted(self._devices.glob(f"{bus}:*/{hub}-port*/disable"))

    def _peer(self, path: str) -> list[Path]:
        """The switch of the other half of a USB 3 port."""
        peer = self._switch(path).parent / "peer" / "disable"
        return [peer] if peer.exists() else []

    def _below(self, hub: str) -> list[str]:
        """The devices below a hub, at any depth."""
        prefix = hub.removeprefix("usb") + "-" if _ROOT_HUB.fullmatch(hub) else hub + "."
        names = (entry.name for entry in self._devices.iterdir())
        return sorted(name for name in names if _DEVICE.fullmatch(name) and name.startswith(prefix))

    def _is_hub(self, name: str) -> bool:
        with contextlib.suppress(OSError):
            return (self._devices / name / "bDeviceClass").read_text(encoding="ascii").strip() == "09"
        return False

    def _mounted(self, dark: Collection[str]) -> str | None:
        """A mounted block device that is below one of these paths, also by way of a mapper or loop device."""
        with contextlib.suppress(OSError):
            for text in self._mounts.read_text(encoding="utf-8", errors="replace").splitlines():
                number = text.split()[2]
                for disk in self._disks(self._sys / "dev" / "block" / number):
                    if set(disk.parts) & set(dark):
                        return disk.name
        return None

    def _disks(self, block: Path) -> list[Path]:
        """What a block device really stands on."""
        with contextlib.suppress(OSError):
            real = block.resolve(strict=True)
            slaves = real / "slaves"
            below = sorted(slaves.iterdir()) if slaves.is_dir() else []
            return [disk for slave in below for disk in self._disks(slave)] or [real]
        return []


def _hub_of(path: str) -> str:
    """The hub that a USB path hangs on: ``1-1`` of ``1-1.2``, ``usb1`` of ``1-1``."""
    if "." in path:
        return path.rpartition(".")[0]
    return "usb" + path.partition("-")[0]
