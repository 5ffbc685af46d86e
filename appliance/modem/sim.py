"""The SIM of one modem: whether it is there, who it is, and its PIN (promise M2).

Promise
    * A PIN is entered only where it is set for this card, the card can be named, more than two tries are left or cannot
      be counted, and the host has committed that it was never tried on this card before without being taken.
    * A PUK is never entered.

Theory of operation
    +CPIN? is asked until it says READY; a SIM that starts answers "busy", "failure" or an error for some seconds. Two
    tries left means that somebody has spent one: it was this PIN, or a person is at it. The family's counter is asked
    (``profile.sim.tries``), and +CPINR where that is another one and tells nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from appliance.at import answers
from appliance.errors import CommandFailed
from appliance.modem import commands
from appliance.types import Iccid, ModemState

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.modem.commands import Timed
    from appliance.modem.talk import Talk

__all__ = ["SIM_FAULTS", "Sim"]

_OPEN: Final = frozenset({"READY", "SIM PIN2", "SIM PUK2"})
"""What +CPIN says of a SIM that can be used; PIN2 is for fixed dialling only."""

SIM_FAULTS: Final = frozenset(
    {"cms_310", "cms_311", "cms_313", "cms_315", "cms_316", "cme_10", "cme_11", "cme_12", "cme_13", "cme_15"}
)
"""Errors of other commands that say that the SIM is to be looked at."""

_MISSING: Final = frozenset({"cme_10", "cms_310"})

_STARTING: Final = 20
"""Looks at a SIM that fails, one second apart, until it is taken to be missing."""

_SPARED: Final = 2
"""Tries that are left to a person: with so many or fewer left nothing is entered."""


class Sim:
    """The SIM in one modem."""

    def __init__(self, talk: Talk, pin: Callable[[Iccid], str | None], *, every: float, cancel: float) -> None:
        """Ask by ``talk``; look at a SIM that cannot be used every ``every`` seconds."""
        self._talk = talk
        self._pin = pin
        self._every = every
        self._cancel = cancel
        self.changed = False
        """It said, or was found, to be another one than it was."""
        self.suspect = False
        """A command failed as one fails without a SIM."""

    def on_urc(self, line: str) -> None:
        """+CPIN came unasked."""
        try:
            ready = answers.cpin(line) == "READY"
        except answers.AnswerError:
            return
        if not ready:
            self.changed = True

    def begin(self) -> None:
        """Forget what was noted: it is looked at anew."""
        self.changed = self.suspect = False

    async def step(self, tries: int) -> float | None:
        """Look at the SIM once and do what it needs; seconds until the next look, None when it is ready and known."""
        talk = self._talk
        try:
            code = await self._state()
        except CommandFailed as error:
            if error.reason.code in _MISSING or tries > _STARTING:
                talk.tell(state=ModemState.SIM_MISSING, last_error=str(error))
                return self._every
            return 1.0  # busy, or not started yet
        if code in _OPEN:
            return None if await self._known() else 1.0 if tries <= _STARTING else self._every
        match code:
            case "SIM PIN":
                return await self._unlock()
            case "SIM PUK":
                talk.tell(
                    state=ModemState.PUK_REQUIRED,
                    last_error="the SIM wants its PUK: a person has to enter it, in a telephone; it is never guessed",
                )
            case _:
                talk.tell(state=ModemState.PIN_REQUIRED, last_error=f"the SIM wants: {code}")
        return self._every

    async def _state(self) -> str:
        for line in await self._talk.ask(commands.PIN_STATE):
            try:
                return answers.cpin(line)
            except answers.AnswerError:
                continue
        return "READY"  # OK without a line: there is nothing to be entered

    async def same(self) -> bool:
        """Whether the SIM is the one that was there: some modems do not tell when it is taken out or changed."""
        self.suspect = False
        try:
            ready = await self._state() in _OPEN
        except CommandFailed:
            ready = False
        imsi = await self._talk.read(commands.IMSI, answers.imsi) if ready else None
        return imsi == self._talk.status.imsi

    async def _known(self) -> bool:
        """Read who the SIM is; False where it is not ready for that yet."""
        talk = self._talk
        imsi = await talk.read(commands.IMSI, answers.imsi)
        if imsi is None:
            talk.tell(last_error="the SIM does not tell its IMSI")
            return False
        iccid = await self._iccid()
        number = talk.status.number
        if imsi != talk.status.imsi or number is None:
            number = answers.own_number(await talk.attempt(commands.OWN_NUMBER) or [])
        talk.tell(imsi=imsi, iccid=iccid, number=number)
        return True

    async def _iccid(self) -> Iccid:
        """The card's number, by whichever command the modem knows; empty where it knows none."""
        for timed in (*commands.iccid(self._talk.profile.sim.iccid), *commands.ICCID):
            found = await self._talk.read(timed, answers.iccid)
            if found is not None:
                return found
        return await self._talk.read(commands.ICCID_FILE, answers.iccid_of_file) or Iccid("")

    async def _unlock(self) -> float:
        """Enter the PIN, if it is known, not tried before, and tries are left; seconds until the next look."""
        talk = self._talk
        iccid = await self._iccid()
        talk.tell(state=ModemState.PIN_REQUIRED, iccid=iccid or None)
        pin = self._pin(iccid) if iccid else None
        if pin is None:
            talk.tell(last_error="the SIM wants a PIN and none is set for it")
            return self._every
        try:
            timed = commands.enter_pin(pin)
        except ValueError as error:
            talk.tell(last_error=str(error))
            return self._every
        left = await self._tries()
        if left is not None and left <= _SPARED:
            talk.tell(last_error=f"the SIM has {left} tries for its PIN left: a person has to enter it, in a telephone")
            return self._every
        entering = asyncio.ensure_future(self._enter(iccid, pin, timed))
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError:
            await asyncio.wait({entering}, timeout=self._cancel)
            raise

    async def _tries(self) -> int | None:
        """Tries left for the PIN; None where the modem does not tell."""
        for name in dict.fromkeys((self._talk.profile.sim.tries, "+CPINR")):
            left = answers.pin_tries(await self._talk.attempt(commands.pin_tries(name)) or [], name)
            if left is not None:
                return left
        return None

    async def _enter(self, iccid: Iccid, pin: str, timed: Timed) -> float:
        """The span from the committed intent to the SIM's verdict: broken off, the PIN would never be tried again."""
        talk = self._talk
        if not await talk.host.may_try_pin(iccid, pin):
            talk.tell(last_error="this PIN was tried on this SIM before, and is not tried again")
            return self._every
        try:
            await talk.ask(timed)
        except CommandFailed as error:
            talk.tell(last_error=f"the SIM refused the PIN: {error.reason.text}")
            return self._every
        await talk.host.pin_taken(iccid, pin)
        talk.tell(state=ModemState.BRINGING_UP, last_error=None)
        return 1.0
