"""Finds modems for as long as the hub runs, and tells what is plugged in and cannot be used.

Promise: a modem is offered to the host once, as a place, when its ttys have settled; the place stays the same for as
long as something comes back to its USB path within ``linger`` seconds, under whatever id and tty names. No uevent is
needed for that: one that was lost costs ``every`` seconds. A device that cannot be used is told in words, once, and
taken back when it has gone or works. What is no business of ours is neither opened nor told.

It opens nothing itself: that is the place's, when the modem's session asks.

Theory of operation
    The monitor is started before the first snapshot, so that nothing falls in between. Then: wait for the bell, or
    until time alone makes something happen (``Tracker.due``), or ``every``; let the burst pass (``_BURST``); take a
    snapshot; tell the host what follows. All in one coroutine, without a thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from appliance.modem.detect.devices import Modem, Problem, judge
from appliance.modem.detect.place import UsbPlace
from appliance.modem.detect.tracking import Settled, Tracker, Unsettled
from appliance.modem.detect.udev import Udev
from appliance.modem.port import MODEM_MANAGER, modem_manager, open_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from appliance.modem.detect.devices import Knowledge, UsbDevice
    from appliance.modem.place import Remedy
    from appliance.modem.port import Port

__all__ = ["DetectHost", "Detector", "Source"]

log = logging.getLogger(__name__)

SETTLE: Final = 1.5
"""Seconds without a change: the four ttys of an EC25 appear within one second of being plugged in."""

LINGER: Final = 300.0
"""Seconds away after which a place is given up: longer than any reset, switch of mode, or firmware's own update."""

EVERY: Final = 60.0
"""Seconds between two looks although the bell did not ring."""

PASSING: Final = 30.0
"""Seconds that a problem which may pass by itself is given: sticks take up to 30 s after the switch of their mode."""

_BURST: Final = 0.1
"""Seconds that the events of one device's arrival are let pass before a look."""


class DetectHost(Protocol):
    """Who wants to know."""

    def appeared(self, place: UsbPlace) -> None:
        """A modem is there. Once for each place."""

    def left(self, place: UsbPlace) -> None:
        """It has been away for so long that nobody should wait for it."""

    def remark(self, path: str, words: str) -> None:
        """What is at this USB path cannot be used, or not well: whole sentences for a person. Replaces the last one."""

    def remark_gone(self, path: str) -> None:
        """The remark about this path is not true any more."""


class Source(Protocol):
    """Where snapshots come from: ``Udev``."""

    def watch(self, ring: Callable[[], None]) -> None:
        """Call ``ring`` after every change from now on."""

    def snapshot(self) -> Sequence[UsbDevice]:
        """Every USB device but hubs that is there now."""

    def close(self) -> None:
        """Stop watching."""


def _no_remedies(_: str) -> Sequence[Remedy]:
    return ()


@dataclass(slots=True)
class _Remarks:
    """What is to be said about one path, from three sides.

    Attributes:
        problem: why it cannot be used.
        refusal: why its port could not be opened.
        manager: that ModemManager disturbs it.
        pending: a problem that may pass, and ``tell_at`` from when on it is told.
        told: what the host has heard.
    """

    problem: str | None = None
    refusal: str | None = None
    manager: str | None = None
    pending: str | None = None
    tell_at: float | None = None
    told: str | None = None

    @property
    def words(self) -> str | None:
        return " ".join(filter(None, (self.problem, self.refusal, self.manager))) or None


class Detector:
    """Watches the USB buses. Build it, then run it for ever."""

    def __init__(
        self,
        host: DetectHost,
        knowledge: Knowledge,
        *,
        named: Collection[str] = (),
        remedies: Callable[[str], Sequence[Remedy]] = _no_remedies,
        source: Callable[[], Source] = Udev,
        opened: Callable[[str], Awaitable[Port]] = open_port,
        manager: Callable[[], int | None] = modem_manager,
        settle: float = SETTLE,
        linger: float = LINGER,
        every: float = EVERY,
    ) -> None:
        """Touch nothing yet.

        Args:
            host: who wants to know.
            knowledge: what the profiles know of USB ids.
            named: ports that the settings name: their devices are left alone. Links are followed at each look.
            remedies: what can be done from outside to the modem at a USB path.
            source: makes the source of snapshots; called by ``run``.
            opened: opens a tty.
            manager: the process id of ModemManager, where it runs.
            settle: seconds without a change until a device counts as there.
            linger: seconds away until it counts as unplugged.
            every: seconds between two looks although nothing was told.
        """
        self._host = host
        self._knowledge = knowledge
        self._named = named
        self._remedies = remedies
        self._source = source
        self._opened = opened
        self._manager = manager
        self._every = every
        self._linger = linger
        self._tracker = Tracker(settle=settle)
        self._leave_at: dict[str, float] = {}
        self._places: dict[str, UsbPlace] = {}
        self._remarks: dict[str, _Remarks] = {}
        self._bell = asyncio.Event()

    @property
    def places(self) -> Sequence[UsbPlace]:
        """Where modems are, or have been until lately."""
        return tuple(self._places.values())

    def rescan(self) -> None:
        """Look now, although nothing was told."""
        self._bell.set()

    async def run(self) -> None:
        """Watch for ever.

        Raises:
            OSError: there is no udev here.
        """
        source = self._source()
        source.watch(self._bell.set)
        try:
            loop = asyncio.get_running_loop()
            while True:
                self._bell.clear()
                self._look(source.snapshot(), loop.time())
                await self._until(self._next(loop.time()))
        finally:
            source.close()

    async def _until(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_BURST)

    def _next(self, now: float) -> float:
        times = [self._tracker.due(), *self._leave_at.values(), *(each.tell_at for each in self._remarks.values())]
        return max(0.0, min([self._every, *(at - now for at in times if at is not None)]))

    def _look(self, devices: Sequence[UsbDevice], now: float) -> None:
        for happening in self._tracker.look(devices, now):
            match happening:
                case Settled(device):
                    self._settled(device, now)
                case Unsettled(path):
                    self._unsettled(path, now)
        for path, at in list(self._leave_at.items()):
            if now >= at:
                self._left(path)
        self._remark(now)

    def _remark(self, now: float) -> None:
        """Say what has become true or untrue of each path."""
        manager = self._manager() if self._places else None
        for path, remarks in list(self._remarks.items()):
            if remarks.tell_at is not None and now >= remarks.tell_at:
                remarks.problem, remarks.pending, remarks.tell_at = remarks.pending, None, None
            place = self._places.get(path)
            device = place.device if place is not None else None
            bothered = manager is not None and device is not None and not device.modem_manager_ignored
            remarks.manager = f"ModemManager runs (pid {manager}). {MODEM_MANAGER}." if bothered else None
            self._tell(path)

    def _settled(self, device: UsbDevice, now: float) -> None:
        named = {os.path.realpath(port) for port in self._named}
        verdict = judge(device, self._knowledge, named=named, real=os.path.realpath)
        remarks = self._remarks.setdefault(device.path, _Remarks())
        place = self._places.get(device.path)
        match verdict:
            case Modem() if place is not None:
                self._leave_at.pop(device.path, None)
                place.moved(device)
            case Modem():
                log.info("%s: %s", device.path, device.title)
                self._places[device.path] = place = UsbPlace(
                    device,
                    at_interfaces=self._knowledge.at_interfaces,
                    remedies=self._remedies,
                    refused=lambda words: self._refused(device.path, words),
                    opened=self._opened,
                )
                self._host.appeared(place)
            case Problem(words, passing):
                sentence = f"{device.title} {words}."
                if passing:
                    remarks.pending, remarks.tell_at = sentence, now + PASSING
                else:
                    remarks.problem = sentence
            case _:
                pass

    def _unsettled(self, path: str, now: float) -> None:
        self._remarks[path] = _Remarks(told=self._remarks[path].told)
        place = self._places.get(path)
        if place is not None:
            place.moved(None)
            self._leave_at.setdefault(path, now + self._linger)

    def _left(self, path: str) -> None:
        del self._leave_at[path]
        place = self._places.pop(path)
        log.info("%s: left", place.name)
        self._host.left(place)

    def _refused(self, path: str, words: str | None) -> None:
        self._remarks[path].refusal = None if words is None else f"{words}."
        self._tell(path)

    def _tell(self, path: str) -> None:
        remarks = self._remarks[path]
        words = remarks.words
        if words == remarks.told:
            return
        remarks.told = words
        if words is None:
            self._host.remark_gone(path)
        else:
            log.warning("%s: %s", path, words)
            self._host.remark(path, words)
