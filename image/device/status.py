"""The verb ``status``: how the device is, for a person."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from .boot import facts
from .claim import addresses
from .kept import Kept
from .plan import broker_runs, console_url, merged, ports
from .rim import Command, run
from .shape import Device
from .system import System
from .tell import Board

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .place import Place

__all__ = ["status"]


def status(place: Place, *, command: Command = run) -> int:
    """Print it; exit code 1 where something is wrong."""
    problems = Board(place).problems()
    for what, said in _lines(place, command):
        sys.stdout.write(f"{what + ':':<12}{said}\n")
    for source, lines in problems.items():
        for line in lines:
            sys.stdout.write(f"{'wrong:':<12}{source}: {line}\n")
    return 1 if problems else 0


def _lines(place: Place, command: Command) -> Iterator[tuple[str, str]]:
    kept = Kept.read(place)
    device, now = Device.of(merged(kept.settings, kept.secrets)), facts(place)
    system = System(place)
    yield "version", " ".join(system.image.get(key, "") for key in ("VERSION", "BUILD", "BOARD")).strip() or "unknown"
    yield "slot", system.slot
    yield "name", f"{socket.gethostname()}.local"
    yield "addresses", ", ".join(addresses(command)) or "none"
    yield "console", console_url(kept.settings, device) or "not in the network"
    yield "ports", ", ".join(str(port) for port in ports(kept.settings, device, now)) or "none"
    yield "owner", "there is one" if now.claimed else "none yet: see CLAIM.txt on the card"
    yield "broker", "on this device" if broker_runs(kept.settings, device) else "another one, or none"
    yield "SSH", f"{len(device.system.ssh_keys)} keys" if device.system.ssh_keys else "off: no key in the settings"
    yield "updates", device.update.url or "nobody is asked"
