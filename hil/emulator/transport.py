"""The seam between a modem and its host: what a modem needs of a wire, and what it is told by one.

A modem knows ``Line`` (one serial interface: octets out) and ``Cable`` (all its lines, which come and go together); a
wire knows ``Listener`` (octets in, and who has the port open). Whatever has these verbs can carry a modem: ``line``
has ptys, ``usb`` has ptys behind a fake USB device; a USB redirection into a virtual machine is one more.

The order of life: the modem makes its listeners and asks a ``CableFactory`` for the cable, once. ``plug`` makes the
lines appear to the host, ``unplug`` takes them away (the host sees a hang-up); both may be called again and again, and
both are idempotent. Between them ``write`` sends and the listeners hear. A line that is not plugged swallows what is
written. Nothing may block the loop, and nothing is told from within ``write``, ``plug`` or ``unplug``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hil.emulator.modem import Modem
    from hil.emulator.shape import Interface


class Listener(Protocol):
    """The modem's end of one serial interface."""

    interface: Interface

    def received(self, data: bytes) -> None:
        """Octets from the host."""

    def opened(self, is_open: bool) -> None:
        """Somebody on the host opened the port (True) or closed it (False); ``Line.users`` counts already."""


class Line(Protocol):
    """The host's end of one serial interface."""

    users: int
    """How many have the port open now."""
    opens: int
    """How often it was opened, ever."""

    @property
    def place(self) -> str:
        """Where the host finds it: a path; empty while it has none."""

    @property
    def rate(self) -> int | None:
        """The bit rate that the host has set; None where the wire has no rate or nobody has set one."""

    def write(self, data: bytes) -> None:
        """Send octets to whoever reads the port."""

    def discard(self) -> None:
        """Forget what was not read yet."""


class Cable(Protocol):
    """How a modem hangs on its host."""

    usb: bool
    """True: a modem without power, and one that reboots, is gone from the host."""

    @property
    def lines(self) -> Sequence[Line]:
        """One for each listener, in their order."""

    @property
    def plugged(self) -> bool: ...

    @property
    def powered_by_host(self) -> bool:
        """False while the host has cut the supply of this place."""

    def plug(self) -> None:
        """Appear."""

    def unplug(self) -> None:
        """Vanish."""

    def renumber(self) -> None:
        """Vanish and appear at once under other names, without any loss of power."""

    def exchange(self, other: Any) -> None:
        """Take the place of another cable of the same kind on the host, and give it one's own; both are unplugged."""

    def status(self) -> dict[str, object]:
        """What a test may want to know, for the modem's status."""


CableFactory = Callable[["Modem", Sequence[Listener]], Cable]
