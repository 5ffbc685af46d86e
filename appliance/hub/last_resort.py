"""The last rung of the ladder: start this machine anew, when every modem has been dead for half an hour.

Promise: only where the settings allow it, never while a text is on its way to a modem, at most twice a day also over
restarts, and never because modems were pulled out: those are gone, not dead. It is told before it is done.

Source: reliability.md §3.2, rung 8; some USB host controllers hang so that nothing below helps.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from appliance.store import troubles
from appliance.types import ModemState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from appliance.store import HubClock, Journal

__all__ = ["LastResort"]

log = logging.getLogger(__name__)

DEAD_FOR_MS: Final = 30 * 60 * 1000
"""The whole ladder has been climbed three times by then."""

MOST_A_DAY: Final = 2

_DEAD: Final = frozenset({ModemState.RECOVERING, ModemState.NEEDS_HANDS})


class LastResort:
    """Watches whether any modem lives."""

    def __init__(
        self,
        journal: Journal,
        clock: HubClock,
        *,
        states: Callable[[], Collection[ModemState]],
        reboot: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """Look at ``states`` of all modems; ``reboot`` starts the machine anew, None: never."""
        self._journal = journal
        self._clock = clock
        self._states = states
        self._reboot = reboot
        self._dead_since: int | None = None

    async def look(self) -> None:
        """Look now; to be called every half minute or so."""
        if self._reboot is None:
            return
        states = [state for state in self._states() if state is not ModemState.GONE]
        if not states or not _DEAD.issuperset(states):
            self._dead_since = None
            return
        now = self._clock.now()
        if self._dead_since is None:
            self._dead_since = now
        elif now - self._dead_since >= DEAD_FOR_MS:
            self._dead_since = now
            if await self._journal.write(troubles.may_reboot, most=MOST_A_DAY):
                log.error(
                    "every modem has been dead for %d minutes: this machine is started anew", DEAD_FOR_MS // 60_000
                )
                await self._reboot()
