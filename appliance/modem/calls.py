"""Incoming calls: each is told once, with its number where it is shown, and hung up where that is wished.

RING comes again every five seconds, +CLIP up to half a second after it. A call that is hung up leaves the modem free:
on some (SIM7600) short messages wait for as long as it rings.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Calls"]

_CLIP: Final = 1.5
"""Seconds that the first RING waits for its +CLIP."""

_OVER: Final = 10.0
"""Seconds without RING after which the next one is another call."""


class Calls:
    """The calls to one modem."""

    def __init__(self, told: Callable[[str | None], None]) -> None:
        """``told`` is called once a call, with the number or None."""
        self._told = told
        self._timer: asyncio.TimerHandle | None = None
        self._known = False

    def ring(self) -> None:
        """RING."""
        self._cancel()
        loop = asyncio.get_running_loop()
        if self._known:
            self._timer = loop.call_later(_OVER, self.end)
        else:
            self._timer = loop.call_later(_CLIP, self.clip, None)

    def clip(self, number: str | None) -> None:
        """+CLIP; None: no number came, or it is withheld."""
        self._cancel()
        self._timer = asyncio.get_running_loop().call_later(_OVER, self.end)
        if not self._known:
            self._known = True
            self._told(number)

    def end(self) -> None:
        """NO CARRIER, silence, or the end of the session."""
        self._cancel()
        self._known = False

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
