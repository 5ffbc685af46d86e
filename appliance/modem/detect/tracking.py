"""From snapshots of the buses to what happened: settled, and no longer so. PURE: the time is an argument.

Theory of operation
    udev tells *that* something changes; *what* is there is looked up anew, in whole, as often as it may matter (a
    uevent is a hint, never the data: one that is lost costs a minute). ``look`` compares a snapshot with the one
    before and says what follows from it; ``due`` says when time alone makes the next thing happen::

        not there ──seen──▶ settling ──unchanged for `settle`──▶ settled     says Settled
            ▲                  ▲                                    │
            │                  └──────── the record changed ────────┤        says Unsettled
            └──────────── not in the snapshot any more ─────────────┘        says Unsettled

    A modem brings its ttys one after the other, within about a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.modem.detect.devices import UsbDevice

__all__ = ["Settled", "Tracker", "Unsettled"]


@dataclass(frozen=True, slots=True)
class Settled:
    """A device is there and has not changed for a while; again after each change."""

    device: UsbDevice


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What had settled at this path has changed or gone."""

    path: str


@dataclass(slots=True)
class _Seen:
    """A device, and since when it has been just so."""

    device: UsbDevice
    since: float
    settled: bool = False


class Tracker:
    """What is plugged in where, over time."""

    def __init__(self, *, settle: float) -> None:
        """Begin with empty buses; a device settles after so many seconds without a change."""
        self._settle = settle
        self._seen: dict[str, _Seen] = {}

    def look(self, devices: Iterable[UsbDevice], now: float) -> list[Settled | Unsettled]:
        """Take in what is there now; say what has happened, what ended first."""
        there = {device.path: device for device in devices}
        ended = [path for path, seen in self._seen.items() if there.get(path) != seen.device]
        happened: list[Settled | Unsettled] = [Unsettled(path) for path in ended if self._seen[path].settled]
        for path in ended:
            del self._seen[path]
        for path, device in there.items():
            seen = self._seen.setdefault(path, _Seen(device, now))
            if not seen.settled and now >= seen.since + self._settle:
                seen.settled = True
                happened.append(Settled(device))
        return happened

    def due(self) -> float | None:
        """When the next device settles if nothing changes; None: all have."""
        return min((seen.since + self._settle for seen in self._seen.values() if not seen.settled), default=None)
