"""A USB socket with a modem in it: the ``Place`` of a modem that was found by itself.

Which port is opened
    ``open(0)`` takes the interface that worked last time, else the one that the profiles know for this USB id; each
    further turn takes the next that is known, and after the last of them all ttys of the device are asked at once
    (``probe``). Where nothing is known they are asked at once, and each further turn passes over one more of those
    that answer. A port that is busy does not stop the others from being tried.

    The interface that worked is remembered by its number: ttys have other names after each reset. Where the profiles
    know better, only for as long as the device stays on the bus: a fallback port may be one without URCs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from appliance.errors import AnswerTimeout, PortGone
from appliance.modem.detect.probe import probe
from appliance.modem.port import open_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from appliance.modem.detect.devices import Tty, UsbDevice
    from appliance.modem.place import Remedy
    from appliance.modem.port import Port

__all__ = ["UsbPlace"]


def _nothing(_: str) -> Sequence[Remedy]:
    return ()


def _nobody(_: str | None) -> None:
    return None


class UsbPlace:
    """One USB path at which there is, or was, a modem. A ``Place``."""

    def __init__(
        self,
        device: UsbDevice,
        *,
        at_interfaces: Callable[[str, Mapping[int, str]], tuple[int, ...]],
        remedies: Callable[[str], Sequence[Remedy]] = _nothing,
        refused: Callable[[str | None], None] = _nobody,
        opened: Callable[[str], Awaitable[Port]] = open_port,
    ) -> None:
        """Begin with a device that has settled.

        Args:
            device: what is there.
            at_interfaces: which interfaces of a USB id speak AT, the preferred first; empty: unknown.
            remedies: what can be done from outside, given the USB path.
            refused: told why a port could not be opened, and None when one could.
            opened: opens a tty.
        """
        self.path = device.path
        self._device: UsbDevice | None = device
        self._there = asyncio.Event()
        self._there.set()
        self._at_interfaces = at_interfaces
        self._remedies = remedies
        self._refused = refused
        self._opened = opened
        self._given: int | None = None
        self._good: int | None = None
        self._port: str | None = None

    @property
    def name(self) -> str:
        """``usb 1-1.2``."""
        return f"usb {self.path}"

    @property
    def device(self) -> UsbDevice | None:
        """What is there now; None: nothing, or it is just changing."""
        return self._device

    @property
    def port(self) -> str:
        """The tty that was opened last, or would be opened now; the name where there is none."""
        if self._device is None:
            return self.name
        nodes = [tty.node for tty in self._device.ttys]
        return self._port if self._port in nodes else next(iter(self._known(self._device)), self._device.ttys[0]).node

    @property
    def remedies(self) -> Sequence[Remedy]:
        """What can be done from outside, the cheapest first."""
        return self._remedies(self.path)

    @property
    def vanishes(self) -> bool:
        """A USB device that starts anew leaves the bus for seconds."""
        return True

    def moved(self, device: UsbDevice | None) -> None:
        """For the detector: this is there now; None: nothing that has settled."""
        if device is not None and self._at_interfaces(device.id, device.classes):
            self._good = None
        self._device = device
        if device is None:
            self._there.clear()
        else:
            self._there.set()

    async def present(self) -> None:
        """Return as soon as a device is there whose ttys have settled."""
        await self._there.wait()

    async def open(self, turn: int) -> Port:
        """Open an AT port; see the top of this module for which.

        Raises:
            PortGone: nothing is there, or every port is busy.
            PortFailed: the first one is there, and the kernel cannot open it.
            AnswerTimeout: none of its ports answers.
        """
        device = self._device
        if device is None or not device.ttys:
            raise PortGone(f"{self.name}: nothing is plugged in there")
        known = self._known(device)
        at = turn % (len(known) + 1) if known else 0
        refusals: list[PortGone] = []
        for tty in known[at:]:
            try:
                port = await self._opened(tty.node)
            except PortGone as error:
                refusals.append(error)
            else:
                return self._give(tty, port)
        if not refusals:
            skip = turn // (len(known) + 1)
            nodes = [tty.node for tty in (*known, *(tty for tty in device.ttys if tty not in known))]
            probed = await probe(nodes, opened=self._opened, skip=skip)
            if probed.port is not None:
                return self._give(next(tty for tty in device.ttys if tty.node == probed.node), probed.port)
            refusals = [*probed.refused.values()]
        if refusals:
            self._refused(str(refusals[0]))
            raise refusals[0]
        self._refused(None)
        raise AnswerTimeout(f"{self.name}: {device.title}: none of its {len(device.ttys)} ports answers AT")

    def _known(self, device: UsbDevice) -> list[Tty]:
        """The ttys that are known to speak AT, the preferred first."""
        numbers = [*self._at_interfaces(device.id, device.classes)]
        if self._good is not None and (not numbers or self._good in numbers):
            numbers = list(dict.fromkeys((self._good, *numbers)))
        return [tty for number in numbers for tty in device.ttys if tty.number == number]

    def _give(self, tty: Tty, port: Port) -> Port:
        self._given = tty.number
        self._port = tty.node
        self._refused(None)
        return port

    def worked(self) -> None:
        """The port that was opened last speaks AT."""
        self._good = self._given
