"""Where a modem lives: the seam between one modem's life and what is around it (ttys, udev, USB, GPIO).

A place keeps its name while the modem in it vanishes, comes back, and is given other ttys: it is the socket, not the
plug. A modem knows only this seam; ``detect`` makes the places of USB devices, ``fixed`` those that the settings name.

What can be done to a modem from outside is a ``Remedy``: an act with the number of its rung on the recovery ladder. The
place lists the remedies that it really has, the cheapest first; the ladder decides which is due and whether it helped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from appliance.modem.port import Port

__all__ = ["Place", "Remedy"]


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing that can be done from outside to a modem that hangs.

    Attributes:
        rung: its number on the ladder: 4 GPIO, 5 USB, 6 supply.
        name: what people are told, as ``reset line`` or ``USB: authorized off and on``. Unique in its place.
        patience: seconds after it in which the modem answers again, where it helped; its start is in them.
        apply: does it, pulses included, and returns; the modem is still starting then.
        key: it presses a key that is a toggle, and would switch off a modem that is starting.
        cold: of use only to a modem that is off; one that hangs it would switch off.

    ``apply`` raises ``PowerFailed`` where it could not be done (the device is not there, the line is busy, no
    permission); the ladder then goes on to the next one.
    """

    rung: int
    name: str
    patience: float
    apply: Callable[[], Awaitable[None]]
    key: bool = False
    cold: bool = False


class Place(Protocol):
    """Where a modem lives."""

    @property
    def name(self) -> str:
        """What it is called for as long as it exists: ``usb 1-1.2``, or the port in the settings."""

    @property
    def port(self) -> str:
        """The tty or URL that is open, or would be opened now; the place's name where there is none."""

    @property
    def remedies(self) -> Sequence[Remedy]:
        """What can be done from outside, the cheapest first; empty where nothing can."""

    @property
    def vanishes(self) -> bool:
        """Whether a modem that starts anew is seen to vanish from here, as a USB device does."""

    async def present(self) -> None:
        """Return as soon as there is something to open: at once where it is there, else when it appears."""

    async def open(self, turn: int) -> Port:
        """Open the modem's AT port for ourselves alone.

        Args:
            turn: how many openings ended in silence since the modem was well or was started anew. 0 is the port that
                is known to speak AT, or spoke it last; further turns go through what else could be it (other ttys,
                other speeds), and round again.

        Raises:
            PortGone: it is not there, or another program has it (named where that can be found out).
            PortFailed: it is there, and cannot be opened: again and again, that is silence too.
            AnswerTimeout: what could be it was asked, and none answers: that is silence, and the ladder's business.
        """

    def worked(self) -> None:
        """The port that was opened last speaks AT: it is the one for turn 0 from now on."""
