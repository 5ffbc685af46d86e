"""The place of a modem whose port the settings name: a HAT's UART, a tty that udev cannot know, a pty, a TCP line.

Which speed
    While none has worked yet, each turn takes the next one of the profile, the usual one first, and round again.
    Afterwards the one that worked is taken at turn 0 and at every odd turn, the others in between: a modem that falls
    silent hangs more often than it changes its speed. A TCP line has no speed.

What can be done from outside
    A HAT's ``Board`` brings its lines. Where the port is a tty of a USB device, that device's remedies are there too.
    They stand in the order of their rungs.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Final

from appliance.errors import PowerFailed
from appliance.modem.port import open_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Protocol

    from appliance.modem.place import Remedy
    from appliance.modem.port import Port

    class Switchable(Protocol):
        """What is asked of a board."""

        @property
        def remedies(self) -> Sequence[Remedy]:
            """What its lines can do."""

        async def switch_on(self) -> None:
            """Bring the lines to rest, and the modem on where it is known to be off."""

    class Opener(Protocol):
        """Opens a port."""

        async def __call__(self, name: str, /, *, baudrate: int) -> Port:
            """Open it for ourselves alone."""


__all__ = ["FixedPlace"]

log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 0.5
"""Seconds between two looks for a path that is missing; a look is one lstat."""


def _no_remedies() -> Sequence[Remedy]:
    return ()


class FixedPlace:
    """One port of the settings. A ``Place``."""

    def __init__(
        self,
        port: str,
        *,
        speeds: Sequence[int] = (115200,),
        board: Switchable | None = None,
        usb: Callable[[], Sequence[Remedy]] = _no_remedies,
        opened: Opener = open_port,
        exists: Callable[[str], bool] = os.path.lexists,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Touch nothing yet.

        Args:
            port: a tty path, a pty, or ``socket://host:port``.
            speeds: what to try, the usual one first.
            board: the HAT that the modem is on.
            usb: remedies of the USB device that the port belongs to, if it does.
            opened: opens it.
            exists: whether a path is there.
            sleep: waits between two looks for a missing path.
        """
        self._port = port
        self._speeds = tuple(dict.fromkeys(speeds))
        self._board = board
        self._usb = usb
        self._opened = opened
        self._exists = exists
        self._sleep = sleep
        self._given = self._speeds[0]
        self._worked = False
        self._switched_on = board is None

    @property
    def name(self) -> str:
        """The port, as in the settings."""
        return self._port

    @property
    def port(self) -> str:
        """The port, as in the settings."""
        return self._port

    @property
    def remedies(self) -> Sequence[Remedy]:
        """What can be done from outside, the cheapest first."""
        board = () if self._board is None else self._board.remedies
        return tuple(sorted((*board, *self._usb()), key=lambda remedy: remedy.rung))

    @property
    def vanishes(self) -> bool:
        """Not known: a UART stays, whatever is behind it."""
        return False

    async def present(self) -> None:
        """Return at once for a URL, else as soon as the path exists. The first time, a board is switched on before."""
        if not self._switched_on and self._board is not None:
            self._switched_on = True
            try:
                await self._board.switch_on()
            except PowerFailed as error:
                log.warning("%s: %s", self._port, error)
        while "://" not in self._port and not self._exists(self._port):
            await self._sleep(_LOOK_EVERY)

    async def open(self, turn: int) -> Port:
        """Open it for ourselves alone; see the top of this module for the speed.

        Raises:
            PortGone: it is not there, or another program has it.
            PortFailed: it is there, and the kernel cannot open it.
        """
        speed = self._speed(turn)
        port = await self._opened(self._port, baudrate=speed)
        self._given = speed
        return port

    def worked(self) -> None:
        """The speed that was given last is the modem's."""
        self._worked = True
        self._speeds = tuple(dict.fromkeys((self._given, *self._speeds)))

    def _speed(self, turn: int) -> int:
        best, *others = self._speeds
        if not self._worked:
            return self._speeds[turn % len(self._speeds)]
        return best if turn == 0 or turn % 2 or not others else others[(turn // 2 - 1) % len(others)]
