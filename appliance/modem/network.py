"""The network of one modem: registration in all domains, signal, operator, and the radio off and on where it is lost.

Promise
    * The best of all domains counts; registered for short messages only is registered.
    * What is polled is never enabled as a URC.
    * A modem that finds no network for five minutes has its radio switched off and on, then is reset, ever less often;
      one that the network refuses is left alone: no reset makes it welcome.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from appliance.at import answers
from appliance.modem import commands
from appliance.modem.ladder import Ladder, Rung, Step, Trouble
from appliance.types import ModemState, Registration

if TYPE_CHECKING:
    from appliance.modem.talk import Talk

__all__ = ["Network"]

_BETTER: Final = (
    Registration.HOME,
    Registration.ROAMING,
    Registration.HOME_NO_CSFB,
    Registration.ROAMING_NO_CSFB,
    Registration.SMS_ONLY_HOME,
    Registration.SMS_ONLY_ROAMING,
    Registration.DENIED,
    Registration.SEARCHING,
    Registration.EMERGENCY_ONLY,
    Registration.RLOS,
    Registration.UNKNOWN,
    Registration.NOT_REGISTERED,
)
"""Which of the domains' states is told: the one that can send, else the one that says most."""

_WITHOUT: Final = 300.0
"""Seconds without a network after which the radio is switched off and on: a scan of all bands takes two minutes."""

_WAITS: Final = (900.0, 1800.0, 3600.0)
"""Seconds between two such climbs: a place without coverage is not mended by resets."""

_RADIO: Final = Step(Rung.RADIO, "radio off and on", 60.0)
_RESET: Final = Step(Rung.RESET, "reset by command", 60.0)

_OPERATOR_EVERY: Final = 10
"""Polls between two looks at the operator and the network's clock."""


class Network:
    """Where one modem is registered."""

    def __init__(self, talk: Talk) -> None:
        """Know nothing yet."""
        self._talk = talk
        self._domains: tuple[str, ...] = commands.DOMAINS
        self._polls = 0
        self._lost_at: float | None = None
        self._ladder = Ladder(waits=_WAITS)

    async def set_up(self) -> None:
        """No URCs of the domains that are polled; which domains the modem knows."""
        known = [
            domain for domain in commands.DOMAINS if await self._talk.attempt(commands.no_reports(domain)) is not None
        ]
        self._domains = tuple(known) or commands.DOMAINS
        self._polls = 0

    async def poll(self) -> bool:
        """Ask for the registration; whether short messages can be submitted."""
        best: Registration | None = None
        for domain in self._domains:
            found = await self._talk.read(commands.poll_domain(domain), answers.registration)
            if found is not None and (best is None or _BETTER.index(found) < _BETTER.index(best)):
                best = found
            if best is not None and best.can_send:
                break
        self._talk.tell(registration=best)
        now = asyncio.get_running_loop().time()
        if best is not None and best.can_send:
            if self._lost_at is not None:
                self._lost_at = None
                self._ladder.help(now=now)
                self._ladder.healthy()
            return True
        if self._lost_at is None:
            self._lost_at = now
        if self._polls == 0 and best is not None:
            self._talk.tell(signal_dbm=await self._signal())
        return False

    async def measure(self) -> None:
        """Signal, and now and then the operator, when registered."""
        talk = self._talk
        self._polls += 1
        talk.tell(signal_dbm=await self._signal())
        if self._polls % _OPERATOR_EVERY == 1:
            operator = await talk.read(commands.OPERATOR, answers.Operator.read)
            if operator is not None:
                talk.tell(operator=operator.name, technology=operator.technology)
            clock = await talk.read(commands.CLOCK, answers.clock)
            if clock is not None:
                talk.tell(network_time=clock.isoformat())

    @property
    def lost_for(self) -> float:
        """Seconds without a network; 0 when registered."""
        return 0.0 if self._lost_at is None else asyncio.get_running_loop().time() - self._lost_at

    async def search(self, *, in_doubt: bool) -> Step | None:
        """Not registered: say so, and do what is due; the step that is the session's to do (a reset), or None.

        ``in_doubt``: whether the result of a submit may still come; then nothing is done.
        """
        talk = self._talk
        self._polls = 0
        denied = talk.status.registration is Registration.DENIED
        talk.tell(state=ModemState.SEARCHING)
        if denied:
            talk.tell(
                last_error="the network refuses this SIM: is it active and paid, and may it roam? Nothing is reset"
                " against that"
            )
        now = asyncio.get_running_loop().time()
        if denied or self.lost_for < _WITHOUT:
            return None
        steps = [_RADIO, *([_RESET] if talk.profile.power.resets else [])]
        step = self._ladder.due(Trouble.NO_NETWORK, steps, now=now, in_doubt=in_doubt)
        if step is None:
            return None
        self._ladder.take(step, now=now)
        self._lost_at = now  # the next step comes after as long again
        talk.tell(recovery=step.name, last_error=f"no network for {_WITHOUT / 60:.0f} minutes")
        if step is _RESET:
            return step
        for command in talk.profile.power.radio:
            await talk.attempt(commands.Timed(command, commands.RADIO))
        return None

    async def _signal(self) -> int | None:
        for timed in (commands.SIGNAL, commands.SIGNAL_EXTENDED):
            for line in await self._talk.attempt(timed) or ():
                try:
                    dbm = answers.signal_dbm(line)
                except answers.AnswerError:
                    continue
                if dbm is not None:
                    return dbm
        return None
