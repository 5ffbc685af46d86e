"""Hub time: a line of milliseconds that never jumps (promise T1).

Promise
    Within one boot of the machine hub time follows CLOCK_BOOTTIME exactly, also across restarts of the process. After
    another boot it goes on from where it was, plus the difference of the wall clock when that is believable (between 0
    and 7 days), else plus nothing. It never goes back. All deadlines, back-offs, quota windows and retention are in hub
    milliseconds; the wall clock is stored for showing only.

What it does not do
    It does not know how long the machine was off when the wall clock is wrong: then deadlines stretch, none is early.

Theory of operation
    An *anchor* (boot id, boot time, hub time, wall time) is written with every commit, never by a timer. ``resume``
    puts a fresh process on the line that the anchor describes.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DAY_MS", "HOUR_MS", "Anchor", "HubClock", "rfc3339"]

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - in UTC, and twice as fast as an aware one
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

BELIEVABLE_OFF_MS = 7 * DAY_MS
"""The longest time off that the wall clock is believed: a jump of the wall clock by years must not expire the queue."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """One point of the line, in milliseconds."""

    boot_id: str
    boottime: int
    hub: int
    wall: int

    def to_json(self) -> str:
        """The anchor as it stands in the table ``meta``."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Anchor:
        """Read what ``to_json`` wrote."""
        return cls(**json.loads(text))


class HubClock:
    """Hub time and wall time in milliseconds.

    Args:
        boottime: seconds since the machine's start, counting suspension (CLOCK_BOOTTIME).
        wall: seconds since 1970 (CLOCK_REALTIME); may jump.
        boot_id: differs after each start of the machine (``/proc/sys/kernel/random/boot_id``).
    """

    def __init__(self, *, boottime: Callable[[], float], wall: Callable[[], float], boot_id: str) -> None:
        self._boottime = boottime
        self._wall = wall
        self._boot_id = boot_id
        # The line: hub time is _hub when CLOCK_BOOTTIME is _boot. Both only change together, in resume().
        self._boot = self._boottime_ms()
        self._hub = 0

    @classmethod
    def of_this_machine(cls) -> HubClock:
        """The clock of the machine that this process runs on."""
        return cls(
            boottime=lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
            wall=time.time,
            boot_id=Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip(),
        )

    def now(self) -> int:
        """Hub time, ms; never goes back."""
        return self._hub + max(0, self._boottime_ms() - self._boot)

    def wall_ms(self) -> int:
        """Unix time, ms; for showing only."""
        return int(self._wall() * 1000)

    def anchor(self, hub: int | None = None) -> Anchor:
        """The present point of the line (or the point of hub time ``hub``), to be kept with a commit."""
        now = self.now() if hub is None else hub
        return Anchor(boot_id=self._boot_id, boottime=self._boot + now - self._hub, hub=now, wall=self.wall_ms())

    def resume(self, anchor: Anchor | None) -> None:
        """Continue the line that ``anchor`` is on; call once, before the first ``now`` that matters."""
        if anchor is None:
            return
        boottime = self._boottime_ms()
        if anchor.boot_id == self._boot_id:
            self._boot, self._hub = anchor.boottime, anchor.hub
            return
        off = self.wall_ms() - anchor.wall
        self._boot, self._hub = boottime, anchor.hub + (off if 0 <= off <= BELIEVABLE_OFF_MS else 0)

    def _boottime_ms(self) -> int:
        return int(self._boottime() * 1000)


def rfc3339(wall_ms: int) -> str:
    """Unix milliseconds as RFC 3339 in UTC, ``2026-01-31T12:00:00.000Z``; outside of years 1 to 9999 their ends."""
    try:
        return (_EPOCH + timedelta(milliseconds=wall_ms)).isoformat(timespec="milliseconds") + "Z"
    except OverflowError:
        return "9999-12-31T23:59:59.999Z" if wall_ms > 0 else "0001-01-01T00:00:00.000Z"
