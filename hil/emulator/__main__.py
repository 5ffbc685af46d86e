"""``python3 -m hil.emulator --directory DIR``: build the modems and the network, say ready, serve until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hil.emulator.control import Control
from hil.emulator.gpio import Lines
from hil.emulator.inotify import Inotify
from hil.emulator.modem import Modem, on_pty
from hil.emulator.network import Ledger, Network
from hil.emulator.persona import PERSONAS
from hil.emulator.settings import SettingError, Settings
from hil.emulator.shape import UART
from hil.emulator.sim import Sim, luhn_digit
from hil.emulator.usb import PRELOAD, Bus, Testbed, Unavailable, library, on_usb, preloaded
from hil.emulator.usbcable import over_usbip, over_usbredir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.emulator.family import Persona
    from hil.emulator.shape import Interface
    from hil.emulator.transport import CableFactory

MAX_MODEMS: Final = 32
_IDENTITY: Final = (
    "persona", "imei", "imsi", "iccid", "number", "pin", "puk", "sim", "storage_limits", "mr",
    "usb", "uart", "usbredir", "usbip", "power", "autostart", "lines",
)  # fmt: skip


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m hil.emulator", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="gets modem1…, control, ledger.jsonl")
    parser.add_argument("--modems", type=int, default=None, help="how many (1)")
    parser.add_argument("--config", type=Path, help='JSON: {"defaults": {KEY: VALUE}, "modems": [{KEY: VALUE}]}')
    parser.add_argument("--submit-delay", type=float, help="seconds from the PDU to its result (0)")
    parser.add_argument("--report-delay", type=float, help="seconds from the result to the status report (0.05)")
    parser.add_argument("--pin", default="1234", help="the PIN of the SIMs (1234); asked for when sim is pin")
    parser.add_argument("--persona", default="generic", choices=sorted(PERSONAS), help="the modem family")
    parser.add_argument(
        "--usb", action="store_true", help="fake USB by umockdev: modems whose family has USB are on it"
    )
    parser.add_argument("--gpio", type=Path, metavar="DIR", help="GPIO lines as files: DIR/<n> is 0 or 1")
    return parser.parse_args(argv)


def identity(n: int) -> dict[str, str]:
    """The identities of the n-th modem (from 1): valid, distinct, of a fictional British home network."""
    imei = f"35693803{564300 + n:06d}"
    iccid = f"894410{n:012d}"
    return {
        "imei": imei + luhn_digit(imei),
        "imsi": f"23410{n:010d}",
        "iccid": iccid + luhn_digit(iccid),
        "number": f"+44770090{n:04d}",
    }


def _attached(
    own: dict[str, Any], family: Persona, *, link: Path, watcher: Inotify, bus: Bus | None
) -> tuple[Sequence[Interface], CableFactory]:
    """Where a modem hangs: on another kernel (``usbredir`` PATH, ``usbip`` PORT), on the fake bus, or on a pty."""
    usb = family.usb
    if "usbredir" in own or "usbip" in own:
        if usb is None:
            raise ValueError(f"{family.name} has no USB")
        far = over_usbredir(Path(own["usbredir"])) if "usbredir" in own else over_usbip(int(own["usbip"]))
        return usb.interfaces, far
    if bus is not None and usb is not None and not own.get("uart", False):
        return usb.interfaces, on_usb(bus, own.get("usb"))
    return UART, on_pty(link, watcher)


def build(
    words: list[dict[str, Any]],
    *,
    directory: Path,
    network: Network,
    watcher: Inotify,
    pin: str,
    persona: str,
    bus: Bus | None,
    lines: Lines | None,
) -> list[Modem]:
    """The modems of a configuration; raises ValueError in words."""
    modems: list[Modem] = []
    for n, own in enumerate(words, start=1):
        settings = Settings()
        for key, value in own.items():
            if key not in _IDENTITY:
                settings.set(key, value)
        who = {key: str(own.get(key, value)) for key, value in identity(n).items()}
        sim = Sim(who["imsi"], who["iccid"], who["number"], pin=str(own.get("pin", pin)))
        sim.puk = str(own.get("puk", sim.puk))
        state = own.get("sim", "ready")
        sim.present = state != "out"
        if state in ("pin", "puk"):
            sim.pin_enabled, sim.unlocked, sim.pin_left = True, False, 3 if state == "pin" else 0
        family = PERSONAS[str(own.get("persona", persona))]
        interfaces, cable = _attached(own, family, link=directory / f"modem{n}", watcher=watcher, bus=bus)
        modem = Modem(
            f"modem{n}", imei=who["imei"], sim=sim, persona=family,
            settings=settings, network=network, loop=network.loop, interfaces=interfaces, cable=cable,
        )  # fmt: skip
        for name, limit in own.get("storage_limits", {}).items():
            modem.memories[name].limit = int(limit)
        modem.mr = int(own.get("mr", 0)) % 256
        modem.off_at_first = own.get("power", "on") == "off"
        if lines is not None and "lines" in own:
            # without a power key, off can only mean that its supply is
            modem.supplied = not (modem.off_at_first and "enable" in own["lines"] and "pwrkey" not in own["lines"])
            lines.wire(modem, own["lines"])
        modem.autostart = bool(own.get("autostart", modem.autostart))
        modems.append(modem)
    return modems


def _configuration(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    config: dict[str, Any] = {}
    if arguments.config is not None:
        config = json.loads(arguments.config.read_text(encoding="utf-8"))
    defaults = dict(config.get("defaults", {}))
    if arguments.submit_delay is not None:
        defaults["submit_delay"] = arguments.submit_delay
    if arguments.report_delay is not None:
        defaults["report_delay"] = arguments.report_delay
    listed = list(config.get("modems", []))
    count = arguments.modems if arguments.modems is not None else max(1, len(listed))
    if not 1 <= count <= MAX_MODEMS:
        raise ValueError(f"--modems is 1 to {MAX_MODEMS}")
    listed += [{}] * (count - len(listed))
    return [defaults | own for own in listed[:count]]


async def serve(arguments: argparse.Namespace, directory: Path) -> None:
    """Run until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    control_path, ledger_path = directory / "control", directory / "ledger.jsonl"
    ledger = Ledger(ledger_path)
    network = Network(ledger, loop)
    watcher = Inotify(loop)
    words = _configuration(arguments)
    bus = Bus(Testbed(), watcher, loop) if arguments.usb else None
    wired = arguments.gpio is not None or any("lines" in own for own in words)
    lines = Lines(arguments.gpio or directory / "gpio", network, loop) if wired else None
    if bus is not None and lines is not None:
        (bus.testbed.root / "dev").mkdir(exist_ok=True)
        (bus.testbed.root / "dev/gpiochip0").symlink_to((lines.directory / "gpiochip0").resolve())
    modems = build(
        words, directory=directory, network=network, watcher=watcher, pin=arguments.pin,
        persona=arguments.persona, bus=bus, lines=lines,
    )  # fmt: skip
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for modem in modems:
        modem.start()
    control = Control(modems, network, bus=bus, lines=lines)
    await control.listen(control_path)
    ready: dict[str, Any] = {
        "ready": True, "control": str(control_path), "ledger": str(ledger_path), "modems": [_told(m) for m in modems]
    }  # fmt: skip
    if bus is not None:
        ready |= {"udev": str(bus.testbed.root), "preload": PRELOAD}
    if lines is not None:
        ready |= {"gpio": str(lines.directory)}
    print(json.dumps(ready), flush=True)
    try:
        await stop.wait()
    finally:
        await control.close()
        for modem in modems:
            modem.unplug()
        if bus is not None:
            bus.close()
        if lines is not None:
            lines.close()
        watcher.close()
        ledger.close()
        with contextlib.suppress(FileNotFoundError):
            control_path.unlink()


def _told(modem: Modem) -> dict[str, Any]:
    """A modem in the ready line; ``usb`` is its path in /sys, null on a UART or while it is off."""
    return {
        "name": modem.name, "port": modem.line.place, "imei": modem.imei, "imsi": modem.sim.imsi,
        "iccid": modem.sim.iccid, "number": modem.sim.number, "usb": modem.cable.status().get("path"),
    }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 after a signal, 2 for a wrong configuration."""
    try:
        arguments = _arguments(argv)
        if arguments.usb and not preloaded():
            library()
            os.execve(
                sys.executable,
                [sys.executable, *sys.orig_argv[1:]],
                os.environ | {"LD_PRELOAD": " ".join(filter(None, (os.environ.get("LD_PRELOAD"), PRELOAD)))},
            )
        arguments.directory.mkdir(parents=True, exist_ok=True)
        (arguments.directory / "control").unlink(missing_ok=True)
        asyncio.run(serve(arguments, arguments.directory))
    except (SettingError, ValueError, KeyError, Unavailable) as error:
        print(f"hil.emulator: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
